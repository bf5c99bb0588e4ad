use chrono::DateTime;
use florin_domain::journal::GENESIS;
use uuid::Uuid;

use super::*;

/// A journal written by hand.
#[derive(Default)]
struct Book(Vec<RecordedEvent>);

impl Book {
    fn write(mut self, id: &str, sequence: u64, balance: Option<&str>, payload: &str) -> Self {
        let name = payload.trim_start_matches("{\"").split('"').next().unwrap();
        let mut event = RecordedEvent {
            partition: 0,
            position: self.0.len() as u64 + 1,
            aggregate_type: if balance.is_some() { "Wallet" } else { "Transfer" },
            aggregate_id: id.into(),
            sequence,
            event_type: florin_domain::journal::event_type_named(name),
            event_version: "1.1".to_owned(),
            payload: payload.to_owned(),
            metadata: "{}".into(),
            balance: balance.map(|text| text.parse().unwrap()),
            recorded_at: DateTime::UNIX_EPOCH,
            hash: GENESIS,
        };
        event.hash = event.chained(&self.0.last().map_or(GENESIS, |last| last.hash));
        self.0.push(event);
        self
    }

    fn opened(self, id: &str) -> Self {
        self.write(id, 1, Some("0.00"), r#"{"WalletOpened":{"currency":"USD"}}"#)
    }

    fn moved(self, name: &str, id: &str, sequence: u64, amount: &str, balance: &str) -> Self {
        let transfer = Uuid::from_u128(7);
        let payload = format!(
            r#"{{"{name}":{{"transactionId":"{transfer}","transferId":"{transfer}",
                "counterparty":"x","amount":"{amount}","currency":"USD","balance":"{balance}"}}}}"#
        );
        self.write(id, sequence, Some(balance), &payload)
    }

    fn transfer(self, sequence: u64, payload: &str) -> Self {
        self.write(&Uuid::from_u128(7).to_string(), sequence, None, payload)
    }

    fn audit(&self) -> Findings {
        prove(self.0.clone())
    }

    fn summary(&self) -> Summary {
        let Findings { summary, problems, .. } = self.audit();
        assert_eq!(problems.named(), []);
        summary
    }

    fn problems(&self) -> Vec<String> {
        self.audit().problems.named().iter().map(ToString::to_string).collect()
    }

    /// The hashes of all events as they follow from their contents.
    fn rechained(mut self) -> Self {
        let mut hash = GENESIS;
        for event in &mut self.0 {
            event.hash = event.chained(&hash);
            hash = event.hash;
        }
        self
    }
}

const INITIATED: &str =
    r#"{"TransferInitiated":{"from":"a","to":"b","amount":"2.00","currency":"USD"}}"#;
const DEBITED: &str =
    r#"{"TransferDebited":{"balance":"3.00","version":3,"partition":0,"position":4}}"#;
const COMPLETED: &str =
    r#"{"TransferCompleted":{"balance":"2.00","version":2,"partition":0,"position":6}}"#;

fn debited() -> Book {
    Book::default()
        .opened("a")
        .opened("b")
        .moved("FundsDeposited", "a", 2, "5.00", "5.00")
        .transfer(1, INITIATED)
        .moved("FundsDebited", "a", 3, "2.00", "3.00")
        .transfer(2, DEBITED)
}

fn completed() -> Book {
    debited().moved("FundsCredited", "b", 2, "2.00", "2.00").transfer(3, COMPLETED)
}

#[test]
fn a_ledger_in_order_is_summed_up() {
    let summary = completed().summary();
    assert_eq!((summary.events, summary.wallets, summary.unfinished), (8, 2, 0));
    let totals = &summary.totals[&Currency::USD];
    assert_eq!((totals.in_wallets, totals.in_flight), (5.into(), 0.into()));
}

#[test]
fn money_in_flight_is_counted() {
    let findings = debited().audit();
    assert_eq!(findings.summary.totals[&Currency::USD].in_flight, 2.into());
    assert_eq!(findings.unfinished, [(TransferId(Uuid::from_u128(7)), (0, 6))]);
    assert!(findings.problems.is_empty());
}

#[test]
fn a_missing_event_is_named_with_what_it_leaves_undone_and_the_rest_is_proved() {
    let mut gap = completed();
    gap.0.remove(2);
    assert_eq!(gap.problems(), ["0-3: the event is missing", "0-5: sequence 3 follows 1"]);
    let mut gap = completed();
    gap.0.drain(..3);
    assert_eq!(
        gap.problems(),
        [
            "0-1: 3 events are missing, up to position 3",
            "0-5: sequence 3 follows 0",
            "0-7: sequence 2 follows 0",
        ]
    );
}

#[test]
fn a_changed_byte_breaks_one_link_and_a_changed_hash_two() {
    let mut changed = completed();
    changed.0[2].metadata = "{ }".into();
    let broken = "its hash does not match its content and what is before it";
    assert_eq!(changed.problems(), [format!("0-3: {broken}")]);
    let mut changed = completed();
    changed.0[2].hash[0] ^= 1;
    assert_eq!(changed.problems(), [format!("0-3: {broken}"), format!("0-4: {broken}")]);
}

#[test]
fn an_event_that_says_another_amount_is_wrong_in_its_column_and_in_the_sums_once() {
    let mut changed = completed();
    changed.0[2].payload = changed.0[2].payload.replace("5.00", "9.00");
    let problems = changed.rechained().problems();
    assert_eq!(
        problems,
        ["0-3: balance 9.00, stored 5.00", "0-5: balance 3.00 follows 9.00 by -2.00"]
    );
}

#[test]
fn an_event_that_cannot_be_read_is_named_and_its_wallet_goes_on_from_what_is_recorded() {
    let mut changed = completed();
    changed.0[2].payload = r#"{"FundsBlessed":{}}"#.to_owned();
    let problems = changed.rechained().problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let expected = "0-3: it cannot be read: FundsDeposited 1.1: unknown variant `FundsBlessed`";
    assert!(problems[0].starts_with(expected), "{problems:?}");
    let mut named = completed();
    named.0[2].event_type = "FundsWithdrawn".into();
    let expected = "0-3: it cannot be read: it says that it is a FundsWithdrawn";
    assert_eq!(named.rechained().problems(), [expected]);
}

#[test]
fn a_row_that_is_no_event_is_named_and_the_chain_goes_on_from_its_hash() {
    let events = completed().0;
    let mut chain = Chain::whole(0, Vec::new());
    let mut audit = Audit::default();
    for event in events {
        let (position, hash) = (event.position, Some(event.hash));
        audit.take(match position {
            8 => chain.take_unreadable(Unreadable { position, hash, cause: "a Walet".to_owned() }),
            _ => chain.take(event),
        });
    }
    let findings = audit.finish();
    let problems: Vec<String> = findings.problems.named().iter().map(ToString::to_string).collect();
    assert_eq!(problems, ["0-8: it cannot be read: a Walet"]);
    assert_eq!(findings.summary.events, 8);
}

#[test]
fn time_that_runs_backwards_is_found() {
    let mut earlier = completed();
    earlier.0[3].recorded_at -= chrono::TimeDelta::microseconds(1);
    let expected = "0-4: it was recorded earlier than the event before it";
    assert_eq!(earlier.rechained().problems(), [expected]);
}

#[test]
fn what_others_say_of_an_event_is_held_against_it() {
    let events = completed().0;
    let witness = |position: u64, hash| Witness { position, hash, who: "the paper".into() };
    let (right, wrong) = (witness(3, events[2].hash), witness(6, [7; 32]));
    let mut chain = Chain::whole(0, vec![wrong, right]);
    let mut audit = Audit::default();
    events.into_iter().for_each(|event| audit.take(chain.take(event)));
    let findings = audit.finish();
    let problems: Vec<String> = findings.problems.named().iter().map(ToString::to_string).collect();
    assert_eq!(problems, ["0-6: its hash is not the one that the paper has"]);
}

#[test]
fn a_part_is_proved_from_the_balances_that_are_recorded() {
    let part = |events: &[RecordedEvent]| {
        let (first, rest) = events.split_at(4);
        let mut chain = Chain::after(0, 4, Some(first[3].hash), Vec::new());
        let mut audit = Audit::of_a_part();
        rest.iter().for_each(|event| audit.take(chain.take(event.clone())));
        audit.finish()
    };
    let findings = part(&completed().0);
    assert_eq!(findings.problems.named(), []);
    assert_eq!((findings.summary.events, findings.summary.totals.len()), (4, 0));
    let mut wrong = completed();
    wrong.0[4].balance = Some(4.into());
    let findings = part(&wrong.rechained().0);
    let expected = "0-5: balance 3.00, stored 4";
    assert_eq!(findings.problems.named()[0].to_string(), expected);
}

#[test]
fn a_hundred_problems_are_named_and_the_others_counted() {
    let mut problems = Problems::default();
    for number in 0..250 {
        problems.add((0, number), "wrong");
    }
    assert_eq!((problems.named().len(), problems.more(), problems.count()), (100, 150, 250));
}

#[test]
fn a_skipped_sequence_is_found() {
    let book = Book::default().opened("a").moved("FundsDeposited", "a", 3, "5.00", "5.00");
    assert_eq!(book.problems(), ["0-2: sequence 3 follows 1"]);
}

#[test]
fn a_wrong_balance_is_found() {
    let book = Book::default().opened("a").moved("FundsDeposited", "a", 2, "5.00", "6.00");
    assert_eq!(book.problems()[0], "0-2: balance 6.00 follows 0.00 by 5.00");
    let totals = &book.audit().summary.totals[&Currency::USD];
    assert_eq!(totals.difference(), 1.into(), "and the sums tell by how much");
}

#[test]
fn amounts_beyond_all_bounds_are_wrong_and_end_nothing() {
    let most = Decimal::MAX.to_string();
    let book = Book::default()
        .opened("a")
        .moved("FundsDeposited", "a", 2, &most, &most)
        .moved("FundsDeposited", "a", 3, &most, &most)
        .moved("FundsWithdrawn", "a", 4, &most, &format!("-{most}"));
    assert!(book.problems().len() >= 2, "{:?}", book.problems());
}

#[test]
fn a_credit_without_a_debit_and_a_second_credit_are_found() {
    let book = Book::default().opened("b").moved("FundsCredited", "b", 2, "2.00", "2.00");
    let transfer = Uuid::from_u128(7);
    let expected = format!("0-2: transfer {transfer} has legs, but no stream");
    assert_eq!(book.problems(), [expected]);
    let twice = completed().moved("FundsCredited", "b", 3, "2.00", "4.00");
    let expected = format!("0-9: transfer {transfer} has legs, but no stream");
    assert_eq!(twice.problems(), [expected]);
}

#[test]
fn a_completed_transfer_without_its_credit_is_found() {
    let problems = debited().transfer(3, COMPLETED).problems();
    let expected = "is Completed over 2.00, but was debited 2.00, credited 0";
    assert!(problems[0].starts_with("0-7: ") && problems[0].contains(expected), "{problems:?}");
}
