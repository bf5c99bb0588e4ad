use florin_domain::fraud::Rule;
use florin_domain::journal::GENESIS;
use serde_json::json;

use super::*;

/// Of a second, in microseconds.
const SECOND: i64 = 1_000_000;

/// An event of a wallet, so many seconds after the beginning.
fn event(position: u64, second: i64, wallet: &str, sequence: u64, what: &str) -> RecordedEvent {
    let id = "00000000-0000-0000-0000-000000000001";
    let mut body = json!({ "amount": "10.00", "currency": "USD", "balance": "9.00" });
    match what {
        "FundsDebited" | "FundsCredited" => {
            body["transferId"] = json!(id);
            body["counterparty"] = json!("somebody");
        }
        "FundsDeposited" | "FundsWithdrawn" => body["transactionId"] = json!(id),
        unknown => body = json!({ "unknown": unknown }),
    }
    RecordedEvent {
        partition: 0,
        position,
        aggregate_type: "Wallet",
        aggregate_id: wallet.into(),
        sequence,
        event_type: what.to_owned().into(),
        event_version: "1.0".to_owned(),
        payload: json!({ what: body }).to_string(),
        metadata: "{}".into(),
        balance: None,
        recorded_at: DateTime::from_timestamp_micros(second * SECOND).unwrap(),
        hash: GENESIS,
    }
}

/// So many events of so many wallets by chance, each some seconds after the one before.
fn history(events: u64, wallets: u64, seconds: i64) -> Vec<RecordedEvent> {
    let mut random = 42_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    let kinds = ["FundsDeposited", "FundsWithdrawn", "FundsDebited", "FundsCredited"];
    let mut second = 0;
    (1..=events)
        .map(|position| {
            second += i64::try_from(next(2)).unwrap() * seconds;
            let kind = kinds[usize::try_from(next(4)).unwrap()];
            // Of no wallet it is the first event.
            event(position, second, &format!("w{}", next(wallets)), position + 2, kind)
        })
        .collect()
}

fn settings(toml: &str) -> Settings {
    let rules: serde_json::Value = serde_json::from_str(toml).unwrap();
    serde_json::from_value(json!({ "rules": rules })).unwrap()
}

fn trial(candidate: &str) -> Trial {
    Trial::new(settings(candidate), Some(Settings::default()), 1_000)
}

const WHOLE: Span = Span { after: 0, judged: u64::MAX, since: None };

/// One fold, page by page.
fn fold(trial: &Trial, share: Share, span: Span, events: &[RecordedEvent]) -> Result<Found, Stop> {
    let mut pass = Pass::new(trial, share, span);
    for page in events.chunks(100) {
        pass.take(page, vec![])?;
    }
    Ok(pass.finish())
}

/// In as many folds as it takes; says how many that were.
fn folds(trial: &Trial, events: &[RecordedEvent]) -> (Found, u32) {
    let (mut found, mut shares, mut folds) = (trial.found(), vec![Share::ALL], 0);
    while let Some(share) = shares.pop() {
        folds += 1;
        match fold(trial, share, WHOLE, events) {
            Ok(part) => found.merge(part),
            Err(Stop::Full) => shares.extend(share.halves()),
            Err(Stop::Cold) => panic!("nothing is before it"),
        }
    }
    (found, folds)
}

const TWO: &str = r#"{"frequentWithdrawals":{"count":2}}"#;

const WITHOUT_ROUND_TRIPS: &str =
    r#"{"frequentWithdrawals":{"count":2},"roundTrip":{"enabled":false}}"#;

/// As the read model finds them.
fn alerts_of_the_read_model(rules: &Settings, events: &[RecordedEvent]) -> Vec<Alert> {
    let mut rows = crate::fraud::Rows { settings: vec![(0, rules.clone())], ..Default::default() };
    for event in events {
        Fraud.apply(&mut rows, &Fact::read(event).unwrap()).unwrap();
    }
    rows.alerts
}

#[test]
fn both_sides_find_what_the_read_model_finds_by_their_rules() {
    let events = history(3_000, 20, 20);
    let found = folds(&trial(WITHOUT_ROUND_TRIPS), &events).0;
    let live = alerts_of_the_read_model(&Settings::default(), &events);
    let candidate = alerts_of_the_read_model(&settings(WITHOUT_ROUND_TRIPS), &events);
    let new: Vec<_> = candidate.iter().filter(|alert| !live.contains_id(alert)).collect();
    let gone: Vec<_> = live.iter().filter(|alert| !candidate.contains_id(alert)).collect();
    assert!(new.len() > 10 && gone.len() > 10, "{} new, {} gone", new.len(), gone.len());
    assert_eq!(found.new.iter().collect::<Vec<_>>(), new);
    assert_eq!(found.gone.iter().map(|live| &live.alert).collect::<Vec<_>>(), gone);
    for rule in Rule::ALL {
        let of = |alerts: &[Alert]| {
            let mut wallets: Vec<_> =
                alerts.iter().filter(|alert| alert.rule == *rule).map(|a| &a.wallet).collect();
            let alerts = wallets.len() as u64;
            wallets.sort_unstable();
            wallets.dedup();
            Side { alerts, wallets: wallets.len() as u64 }
        };
        let counts = found.rules[rule];
        assert_eq!((counts.candidate, counts.baseline), (of(&candidate), of(&live)), "{rule}");
        assert_eq!(counts.unchanged + counts.new, counts.candidate.alerts, "{rule}");
        assert_eq!(counts.unchanged + counts.gone, counts.baseline.alerts, "{rule}");
    }
    assert_eq!(found.movements, 3_000);
}

/// Whether an alert was found, whatever it says.
trait ContainsId {
    fn contains_id(&self, alert: &Alert) -> bool;
}

impl ContainsId for Vec<Alert> {
    fn contains_id(&self, alert: &Alert) -> bool {
        self.iter().any(|other| other.id == alert.id)
    }
}

#[test]
fn a_fold_without_room_is_divided_and_finds_the_same() {
    // All of them move within every window.
    let events = history(6_000, 400, 1);
    let roomy = trial(TWO);
    let (found, one) = folds(&roomy, &events);
    assert_eq!(one, 1);
    let narrow = Trial { memory: 600 << 10, ..roomy };
    let (divided, many) = folds(&narrow, &events);
    assert!(many > 4, "{many} folds");
    assert_eq!(divided, found);
}

#[test]
fn wallets_that_rest_are_forgotten_and_the_same_is_found() {
    // Of four hundred wallets few move within a window of ten minutes.
    let events = history(6_000, 400, 240);
    let roomy = trial(TWO);
    let found = folds(&roomy, &events).0;
    let narrow = Trial { memory: 600 << 10, ..roomy };
    let (forgetful, folds) = folds(&narrow, &events);
    assert_eq!(folds, 1, "there is room for those that are left");
    assert_eq!(forgetful, found);
}

/// What is counted after a position, read from another one on.
fn from(
    trial: &Trial,
    events: &[RecordedEvent],
    read: usize,
    counted: usize,
) -> Result<Found, Stop> {
    let since = (read > 0).then(|| events[read - 1].recorded_at);
    let span = Span { after: events[counted - 1].position, judged: u64::MAX, since };
    fold(trial, Share::ALL, span, &events[read..])
}

#[test]
fn read_from_early_enough_the_same_is_found_as_read_from_the_first_event() {
    let events = history(4_000, 100, 100);
    let trial = trial(TWO);
    let whole = from(&trial, &events, 0, 3_000).unwrap();
    assert!(!whole.new.is_empty() && whole.movements == 1_000, "{whole:?}");
    assert_eq!(from(&trial, &events, 2_000, 3_000).unwrap(), whole);
    assert_eq!(from(&trial, &events, 2_990, 3_000), Err(Stop::Cold));
}

#[test]
fn a_wallet_that_never_rests_is_known_from_its_first_event_only() {
    let busy = |first_sequence: u64| -> Vec<_> {
        let withdrawal = |number: u64| {
            let second = i64::try_from(number).unwrap() * 20;
            let kind = "FundsWithdrawn";
            event(number + 10, second, "shop", number + first_sequence, kind)
        };
        (0..500).map(withdrawal).collect()
    };
    let trial = trial(TWO);
    let span = Span {
        after: 400,
        judged: u64::MAX,
        since: Some(DateTime::from_timestamp(-1, 0).unwrap()),
    };
    assert_eq!(fold(&trial, Share::ALL, span, &busy(3)), Err(Stop::Cold));
    let found = fold(&trial, Share::ALL, span, &busy(2)).unwrap();
    assert_eq!(
        found.rules[&Rule::FrequentWithdrawals].candidate.alerts,
        0,
        "it goes on since long"
    );
    let anew = Span { after: 0, since: None, ..span };
    let found = fold(&trial, Share::ALL, anew, &busy(3)).unwrap();
    assert_eq!(found.rules[&Rule::FrequentWithdrawals].candidate.alerts, 1);
}

/// Withdrawals of a second each, of which by [`TWO`] the second alerts, by default the third.
fn withdrawals(wallet: &str, first: u64, count: u64) -> Vec<RecordedEvent> {
    let at = |position| i64::try_from(position).unwrap();
    (first..first + count)
        .map(|position| event(position, at(position), wallet, position, "FundsWithdrawn"))
        .collect()
}

#[test]
fn alerts_are_compared_with_those_on_record_up_to_where_they_are_complete() {
    let mut events = withdrawals("alice", 1, 3);
    events.extend(withdrawals("bob", 4, 2));
    events.extend(withdrawals("carol", 6, 3));
    let live = |is_dismissed, events: &[RecordedEvent]| {
        let alert = alerts_of_the_read_model(&Settings::default(), events).remove(0);
        Live { alert, is_dismissed }
    };
    let gone = live(true, &withdrawals("alice", 1, 3));
    let unchanged = live(true, &withdrawals("bob", 3, 3));
    let span = Span { after: 0, judged: 6, since: None };
    let trial = Trial::new(settings(TWO), None, 1);
    let mut pass = Pass::new(&trial, Share::ALL, span);
    pass.take(&events, vec![gone.clone(), unchanged]).unwrap();
    let found = pass.finish();
    let side = |alerts, wallets| Side { alerts, wallets };
    let expected = Counts {
        candidate: side(3, 3),
        baseline: side(2, 2),
        unchanged: 1,
        unchanged_dismissed: 1,
        new: 1,
        gone: 1,
        gone_dismissed: 1,
        later: 1,
    };
    assert_eq!(found.rules[&Rule::FrequentWithdrawals], expected);
    assert_eq!((found.candidate_wallets, found.baseline_wallets), (3, 2));
    let ids: Vec<_> = found.new.iter().map(|alert| alert.id.as_str()).collect();
    assert_eq!((ids, found.gone), (vec!["frequentWithdrawals:0-2"], vec![gone]));
}

#[test]
fn only_the_first_differences_are_told_in_the_order_of_time() {
    let trial = Trial::new(settings(TWO), Some(Settings::default()), 2);
    let of = |events: Vec<RecordedEvent>| fold(&trial, Share::ALL, WHOLE, &events).unwrap();
    let mut found = trial.found();
    for first in [31, 1, 11] {
        found.merge(of(withdrawals(&format!("w{first}"), first, 3)));
    }
    let ids: Vec<_> = found.new.iter().map(|alert| alert.event.position).collect();
    assert_eq!(ids, [2, 12]);
    let counts = found.rules[&Rule::FrequentWithdrawals];
    assert_eq!((counts.new, counts.gone, counts.candidate.wallets), (3, 3, 3));
}

#[test]
fn what_nobody_can_read_is_left_out_and_counted() {
    let mut events = withdrawals("alice", 1, 3);
    events.insert(1, event(9, 1, "alice", 9, "FundsBlessed"));
    let found = fold(&trial(TWO), Share::ALL, WHOLE, &events).unwrap();
    assert_eq!((found.unreadable, found.movements), (1, 3));
}
