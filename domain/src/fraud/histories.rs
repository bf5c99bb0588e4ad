//! What is true of every history: it is the same whenever and in however many pieces it is read, it
//! is remembered within its bound, and where the rules are exact they agree with all that happened.

use proptest::prelude::*;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::episode::Episode;
use super::rapid_drain::MAX_LOTS;
use super::testing::{SECOND, Story};
use super::{Kind, MAX_EVIDENCE, MAX_STATE_BYTES, Rule, WalletHistory};
use crate::ids::{TransferId, WalletId};

/// Everything remembered as widely as a file of settings may ask for.
const WIDEST: &str = r#"{"rules":{
    "frequentWithdrawals":{"count":16,"windowSeconds":86400},
    "rapidDrain":{"percent":100,"windowSeconds":86400},
    "manyReceivers":{"count":16,"windowSeconds":86400},
    "roundTrip":{"windowSeconds":86400}
}}"#;

/// One movement: so long after the one before, what, how much, with whom.
#[derive(Debug, Clone)]
struct Step {
    after: i64,
    what: What,
    amount: String,
    other: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    Deposit,
    Withdrawal,
    Debit,
    Credit,
    Refund,
}

fn step() -> impl Strategy<Value = Step> {
    let after = prop_oneof![
        6 => 0..20 * SECOND,
        2 => Just(0),
        2 => Just(1),
        2 => Just(30 * SECOND),
        1 => Just(60 * SECOND),
        1 => Just(300 * SECOND),
        1 => 0..700 * SECOND,
    ];
    let what = prop_oneof![
        Just(What::Deposit),
        Just(What::Withdrawal),
        Just(What::Debit),
        Just(What::Credit),
        Just(What::Refund),
    ];
    let amount = prop_oneof![
        8 => (1..20_000_i64).prop_map(|cents| Decimal::new(cents, 2).to_string()),
        2 => Just("10000.00".to_owned()),
        1 => Just("1000000000000000.00".to_owned()),
    ];
    let other = prop_oneof![0..6_usize, 0..40_usize];
    let step = (after, what, amount, other);
    step.prop_map(|(after, what, amount, other)| Step { after, what, amount, other })
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 0..most)
}

fn wallet(number: usize) -> WalletId {
    Uuid::from_u128(number as u128).into()
}

/// Tells the steps; `between` may change the history before each.
fn tell(mut story: Story, steps: &[Step], between: impl Fn(&mut WalletHistory)) -> Story {
    let mut at = 0;
    for step in steps {
        at += step.after;
        between(&mut story.history);
        let other = wallet(step.other);
        let transfer = TransferId(Uuid::from_u128(step.other as u128));
        let kind = match step.what {
            What::Deposit => Kind::Deposit,
            What::Withdrawal => Kind::Withdrawal,
            What::Debit => Kind::Debit { transfer, to: &other },
            What::Credit => Kind::Credit { from: &other },
            What::Refund => Kind::Refund { transfer },
        };
        story = story.moves(at, kind, &step.amount);
    }
    story
}

fn stored(history: &WalletHistory) -> String {
    serde_json::to_string(history).unwrap()
}

proptest! {
    #[test]
    fn a_history_read_again_in_pieces_gives_the_same_alerts(steps in steps(300)) {
        let once = tell(Story::new(), &steps, |_| {});
        let again = tell(Story::new(), &steps, |history| {
            let read: WalletHistory = serde_json::from_str(&stored(history)).unwrap();
            assert_eq!(read, *history);
            *history = read;
        });
        prop_assert_eq!(&once.alerts, &again.alerts);
        prop_assert_eq!(once.history, again.history);
    }

    #[test]
    fn an_alert_names_its_evidence_within_its_bound(steps in steps(300)) {
        for alert in tell(Story::new(), &steps, |_| {}).alerts {
            prop_assert_eq!(&alert.id, &format!("{}:{}", alert.rule, alert.event));
            prop_assert_eq!(alert.count, alert.evidence.len());
            prop_assert!((1..=MAX_EVIDENCE).contains(&alert.count));
            prop_assert!(alert.evidence.is_sorted_by(|one, next| one < next), "{alert:?}");
            prop_assert_eq!(alert.evidence.last(), Some(&alert.event));
            prop_assert!(alert.sum > Decimal::ZERO);
        }
    }

    #[test]
    fn a_wallet_that_rested_longer_than_any_window_is_as_one_that_never_moved(
        before in steps(200),
        after in steps(100),
    ) {
        for settings in ["{}", WIDEST] {
            let rested = tell(Story::with(settings), &before, |_| {});
            let window = rested.settings.window().num_microseconds().unwrap();
            let begin = before.iter().map(|step| step.after).sum::<i64>() + window + 1;
            let mut first = after.clone();
            if let Some(step) = first.first_mut() {
                step.after += begin;
            }
            let position = before.len() as u64;
            let fresh = tell(Story::with(settings).at_position(position), &first, |_| {});
            let (known, later) = (rested.alerts.len(), tell(rested, &first, |_| {}));
            prop_assert_eq!(&later.alerts[known..], &fresh.alerts);
        }
    }

    #[test]
    fn a_long_history_is_remembered_within_its_bound(steps in steps(600)) {
        for (settings, bound) in [("{}", MAX_STATE_BYTES / 2), (WIDEST, MAX_STATE_BYTES)] {
            tell(Story::with(settings), &steps, |history| {
                let bytes = stored(history).len();
                assert!(bytes <= bound, "{bytes} bytes of at most {bound}");
            });
        }
    }

    #[test]
    fn withdrawals_alert_as_if_all_were_remembered(steps in steps(200)) {
        let story = tell(Story::new(), &steps, |_| {});
        let (mut at, mut all, mut expected) = (0, vec![], vec![]);
        let mut episode = Episode::default();
        for (index, step) in steps.iter().enumerate() {
            at += step.after;
            if step.what == What::Withdrawal {
                all.push(at);
                let lately = all.iter().filter(|then| at - **then <= 60 * SECOND).count();
                if episode.alerts(lately >= 3, moment(at), 60) {
                    expected.push(index as u64 + 1);
                }
            }
        }
        prop_assert_eq!(story.positions(Rule::FrequentWithdrawals), expected);
    }

    #[test]
    fn receivers_alert_as_if_all_were_remembered(steps in steps(200)) {
        let story = tell(Story::new(), &steps, |_| {});
        let (mut at, mut all, mut expected) = (0, vec![], vec![]);
        let mut episode = Episode::default();
        for (index, step) in steps.iter().enumerate() {
            at += step.after;
            if step.what == What::Debit {
                all.push((at, step.other));
                let lately = all.iter().filter(|(then, _)| at - then <= 60 * SECOND);
                let different: std::collections::BTreeSet<_> = lately.map(|(_, to)| to).collect();
                if episode.alerts(different.len() >= 5, moment(at), 60) {
                    expected.push(index as u64 + 1);
                }
            }
        }
        prop_assert_eq!(story.positions(Rule::ManyReceivers), expected);
    }

    /// Each lot remembers what is left of it, and there are no refunds.
    #[test]
    fn drains_of_a_few_inflows_alert_as_if_all_were_remembered(mut steps in steps(MAX_LOTS * 2)) {
        steps.retain(|step| step.what != What::Refund);
        let inflow = |what| matches!(what, What::Deposit | What::Credit);
        let inflows = steps.iter().filter(|step| inflow(step.what)).count();
        prop_assume!(inflows <= MAX_LOTS);
        let story = tell(Story::new(), &steps, |_| {});
        let (mut at, mut lots, mut expected) = (0, Vec::<(i64, Decimal, Decimal)>::new(), vec![]);
        let mut episode = Episode::default();
        for (index, step) in steps.iter().enumerate() {
            at += step.after;
            let mut amount: Decimal = step.amount.parse().unwrap();
            lots.retain(|(then, ..)| at - then <= 600 * SECOND);
            if inflow(step.what) {
                lots.push((at, amount, amount));
            } else {
                for (_, _, rest) in &mut lots {
                    let taken = amount.min(*rest);
                    *rest -= taken;
                    amount -= taken;
                }
            }
            let came_in: Decimal = lots.iter().map(|(_, amount, _)| amount).sum();
            let rest: Decimal = lots.iter().map(|(_, _, rest)| rest).sum();
            let holds = !lots.is_empty() && rest * Decimal::TEN <= came_in;
            if inflow(step.what) {
                episode.lapses_unless(holds);
            } else if episode.alerts(holds, moment(at), 600) {
                expected.push(index as u64 + 1);
            }
        }
        prop_assert_eq!(story.positions(Rule::RapidDrain), expected);
    }
}

fn moment(at: i64) -> super::seen::Moment {
    chrono::DateTime::from_timestamp_micros(at).unwrap().into()
}

/// The widest ids, positions, amounts and settings at once.
#[test]
fn the_largest_history_there_can_be_is_within_the_bound() {
    let mut story = Story::with(WIDEST).at_position(u64::MAX - 10_000);
    let most = "1000000000000000.0000";
    for number in 0..2_000_u32 {
        let at = i64::from(number) * 20 * SECOND;
        let other: WalletId = format!("{number:0>64}").parse().unwrap();
        let transfer = TransferId(Uuid::from_u128(number.into()));
        for kind in [
            Kind::Credit { from: &other },
            Kind::Debit { transfer, to: &other },
            Kind::Withdrawal,
            Kind::Deposit,
        ] {
            story = story.moves(at, kind, most);
        }
        let bytes = stored(&story.history).len();
        assert!(bytes <= MAX_STATE_BYTES, "{bytes} bytes of at most {MAX_STATE_BYTES}");
    }
    let bytes = stored(&story.history).len();
    assert!(bytes > MAX_STATE_BYTES * 3 / 4, "{bytes}: the bound says nothing");
}

#[test]
fn amounts_beyond_any_ledger_do_not_overflow() {
    let most = Decimal::MAX.to_string();
    let mut story = Story::new();
    for number in 0..100 {
        story = story
            .deposit(number, &most)
            .credit(number, "bob", "0.0000000000000000000000000001")
            .withdraw(number, &most)
            .debit(number, "bob", &most)
            .refund(number, "bob", &most);
    }
    assert_eq!(story.positions(Rule::RapidDrain).len(), 1);
}

/// A history that is stored today is read tomorrow: what changes here asks for a rebuild.
#[test]
fn the_stored_form_never_changes() {
    assert_eq!(stored(&WalletHistory::default()), "{}");
    let story = Story::new()
        .deposit(0, "50.00")
        .credit(1, "alice", "5.00")
        .debit(2, "bob", "1.00")
        .withdraw(3, "52.00")
        .debit(4, "alice", "1.00");
    let expected = concat!(
        r#"{"frequentWithdrawals":{"latest":[[1700000000000003,4,"52.00"]]},"#,
        r#""rapidDrain":{"lots":[[1700000000000000,1,"50.00"],[1700000000000001,2,"5.00"]],"#,
        r#""left":"54.00","outflows":[[3,"00000000-0000-0000-0000-000000000001"],[4,null],"#,
        r#"[5,"00000000-0000-0000-0000-000000000002"]],"#,
        r#""episode":{"held":1700000000000004,"alerted":1700000000000003}},"#,
        r#""manyReceivers":{"latest":[["bob",[1700000000000002,3,"1.00"]],"#,
        r#"["alice",[1700000000000004,5,"1.00"]]]},"#,
        r#""roundTrip":{"senders":[{"w":"alice","c":[1700000000000001,2],"m":"5.00","a":true}]}}"#,
    );
    assert_eq!(stored(&story.history), expected);
    assert_eq!(serde_json::from_str::<WalletHistory>(expected).unwrap(), story.history);
}
