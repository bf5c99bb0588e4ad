use super::{MAX_LOTS, State};
use crate::fraud::testing::{SECOND, Story};
use crate::fraud::{Alert, MAX_EVIDENCE, Rule};

const RULE: Rule = Rule::RapidDrain;

fn evidence(alert: &Alert) -> Vec<u64> {
    alert.evidence.iter().map(|event| event.position).collect()
}

#[test]
fn ninety_percent_out_again_within_ten_minutes_alerts() {
    let story = Story::new()
        .deposit(0, "60.00")
        .credit(SECOND, "alice", "40.00")
        .withdraw(2 * SECOND, "50.00")
        .debit(3 * SECOND, "bob", "39.99");
    assert_eq!(story.of(RULE), []);
    let story = story.withdraw(600 * SECOND, "0.01");
    let alert = &story.of(RULE)[0];
    assert_eq!(alert.id, "rapidDrain:0-5");
    assert_eq!(evidence(alert), [1, 2, 3, 4, 5]);
    assert_eq!((alert.count, alert.sum.to_string().as_str()), (5, "90.00"));
    assert_eq!(alert.reason, "90.00 of 100.00 USD left within 600 s");
}

#[test]
fn a_microsecond_beyond_ten_minutes_is_beyond_them() {
    let story = Story::new().deposit(0, "100.00").withdraw(0, "89.00");
    assert_eq!(story.withdraw(600 * SECOND + 1, "11.00").of(RULE), []);
}

#[test]
fn money_that_left_before_other_money_came_in_is_no_part_of_that() {
    let story = Story::new()
        .withdraw(0, "500.00")
        .deposit(SECOND, "100.00")
        .withdraw(2 * SECOND, "89.99")
        .deposit(3 * SECOND, "100.00")
        .withdraw(4 * SECOND, "90.00");
    assert_eq!(story.of(RULE), []);
    assert_eq!(story.withdraw(5 * SECOND, "0.01").positions(RULE), [6]);
}

#[test]
fn what_left_beyond_what_came_in_does_not_count_against_what_comes_next() {
    let story = Story::new()
        .deposit(0, "10.00")
        .withdraw(SECOND, "500.00")
        .deposit(700 * SECOND, "100.00")
        .withdraw(701 * SECOND, "89.99");
    assert_eq!(story.positions(RULE), [2]);
    // Here the first lot has left the window, and what it could not give is not the second one's.
    let story = Story::new()
        .deposit(0, "10.00")
        .withdraw(SECOND, "500.00")
        .deposit(300 * SECOND, "990.00")
        .withdraw(602 * SECOND, "890.99")
        .withdraw(602 * SECOND, "0.01");
    assert_eq!(story.positions(RULE), [2, 5]);
}

#[test]
fn only_an_outflow_alerts() {
    let story = Story::new()
        .deposit(0, "1000.00")
        .deposit(300 * SECOND, "100.00")
        .withdraw(301 * SECOND, "1095.00");
    assert_eq!(story.positions(RULE), [3]);
    let story = Story::new()
        .deposit(0, "100.00")
        .deposit(300 * SECOND, "100.00")
        .withdraw(301 * SECOND, "100.00")
        .deposit(601 * SECOND, "1.00");
    assert_eq!(story.of(RULE), []);
}

#[test]
fn a_refund_is_no_money_coming_in() {
    let story = Story::new().refund(0, "bob", "100.00").withdraw(1, "100.00");
    assert_eq!(story.of(RULE), []);
}

#[test]
fn a_transfer_that_failed_and_is_tried_again_counts_once() {
    let story = Story::new()
        .deposit(0, "100.00")
        .debit(1, "bob", "50.00")
        .refund(2, "bob", "50.00")
        .debit(3, "bob", "50.00")
        .withdraw(4, "39.99");
    assert_eq!(story.of(RULE), []);
    let alerts = story.withdraw(5, "0.01").of(RULE);
    assert_eq!(alerts.iter().map(evidence).collect::<Vec<_>>(), [[1, 4, 5, 6]]);
}

#[test]
fn a_refund_ends_an_episode() {
    let story = Story::new()
        .deposit(0, "100.00")
        .debit(SECOND, "bob", "95.00")
        .deposit(300 * SECOND, "1.00")
        .refund(301 * SECOND, "bob", "95.00")
        // It holds again, too soon to be told.
        .debit(302 * SECOND, "bob", "95.00")
        .withdraw(602 * SECOND, "1.00");
    assert_eq!(story.positions(RULE), [2, 6]);
}

#[test]
fn what_took_from_lots_that_left_the_window_is_no_evidence_and_is_not_put_back() {
    let story = Story::new()
        .deposit(0, "100.00")
        .debit(SECOND, "bob", "50.00")
        .deposit(300 * SECOND, "100.00")
        .withdraw(601 * SECOND, "80.00")
        .refund(602 * SECOND, "bob", "50.00")
        .withdraw(603 * SECOND, "10.00");
    assert_eq!(story.of(RULE).iter().map(evidence).collect::<Vec<_>>(), [[3, 4, 6]]);
}

#[test]
fn a_wallet_into_which_nothing_came_has_nothing_to_remember() {
    let story = Story::new().debit(0, "bob", "1.00").withdraw(0, "1.00");
    assert_eq!(story.history.rapid_drain, State::default());
    let story = story.deposit(1, "10.00").withdraw(2, "1.00").withdraw(700 * SECOND, "1.00");
    assert_eq!(story.history.rapid_drain, State::default());
}

#[test]
fn a_refund_of_a_debit_that_took_from_no_lot_puts_nothing_back() {
    let story = Story::new()
        .debit(0, "bob", "50.00")
        .deposit(1, "100.00")
        .withdraw(2, "80.00")
        .refund(3, "bob", "50.00")
        .withdraw(4, "10.00");
    assert_eq!(story.positions(RULE), [5]);
}

#[test]
fn a_refund_does_not_put_back_what_others_took_beyond_the_lots() {
    let story = Story::new()
        .deposit(0, "100.00")
        .debit(1, "bob", "100.00")
        .withdraw(2, "95.00")
        .refund(3, "bob", "100.00");
    assert_eq!(story.history.rapid_drain.left.to_string(), "95.00");
}

#[test]
fn each_drain_alerts_but_one_in_a_window_at_most() {
    let drain = |story: Story, minute: i64| {
        let at = minute * 60 * SECOND;
        story.deposit(at, "100.00").withdraw(at + SECOND, "95.00")
    };
    let story = [0, 5, 11, 12, 40].into_iter().fold(Story::new(), drain);
    assert_eq!(story.positions(RULE), [2, 6, 10]);
}

#[test]
fn money_that_passes_through_all_the_time_alerts_once_a_window_at_most() {
    let mut story = Story::new();
    for second in 0..6_000 {
        let at = second * SECOND;
        story = story.deposit(at, "100.00").withdraw(at, "45.00").withdraw(at, "45.00");
    }
    let count = story.of(RULE).len();
    assert!((1..=10).contains(&count), "{count} alerts in ten windows");
}

#[test]
fn a_busy_wallet_is_judged_by_slices_of_the_window() {
    let mut story = Story::new();
    // Ten minutes of one inflow a second; nothing but the first lots ever leaves the window.
    for second in 0..600 {
        story = story.deposit(second * SECOND, "1.00");
    }
    let story = story.withdraw(600 * SECOND, "539.99");
    assert_eq!(story.of(RULE), []);
    let story = story.withdraw(600 * SECOND, "0.01");
    let alert = &story.of(RULE)[0];
    assert_eq!(alert.reason, "540.00 of 600.00 USD left within 600 s");
    assert!(alert.evidence.len() <= MAX_EVIDENCE);
    assert!(alert.evidence.is_sorted());
    assert_eq!(alert.evidence.last(), Some(&alert.event));
}

#[test]
fn merged_inflows_came_in_at_the_last_of_them() {
    // One more than are remembered, all within one slice of the window.
    let deposit = |story: Story, second: usize| {
        let at = i64::try_from(second).unwrap() * SECOND;
        story.deposit(at, "1.00")
    };
    let story = || (0..=MAX_LOTS).fold(Story::new(), deposit);
    let last = i64::try_from(MAX_LOTS).unwrap() * SECOND;
    let alerts = story().withdraw(last + 600 * SECOND, "25.00").of(RULE);
    assert_eq!(alerts[0].reason, "25.00 of 25.00 USD left within 600 s");
    assert_eq!(story().withdraw(last + 600 * SECOND + 1, "25.00").of(RULE), []);
}

#[test]
fn share_window_and_minimum_are_settings() {
    let drain = r#"{"percent":50,"windowSeconds":10,"minimum":{"default":"20","JPY":"2000"}}"#;
    let settings = format!(r#"{{"rules":{{"rapidDrain":{drain}}}}}"#);
    let of = |currency| Story::with(&settings).in_currency(currency);
    let dollars = of("USD").deposit(0, "19.99").withdraw(0, "19.99");
    assert_eq!(dollars.of(RULE), []);
    assert_eq!(dollars.deposit(1, "20.01").withdraw(1, "0.01").positions(RULE), [4]);
    let yen = of("JPY").deposit(0, "1999").withdraw(0, "1999").deposit(0, "1").withdraw(0, "1");
    assert_eq!(yen.positions(RULE), [4]);
    let late = of("USD").deposit(0, "20.00").withdraw(10 * SECOND + 1, "20.00");
    assert_eq!(late.of(RULE), []);
}
