use std::collections::BTreeSet;

use chrono::TimeDelta;
use florin_domain::fraud::Rule;
use florin_projections::fraud::review::{
    self, AlertList, Decided, Filter, MAX_REASONS, ReviewError, State, Verdict,
};
use florin_tests::ask::{deposit, id, withdraw};
use florin_tests::watch::Watch;

async fn ids(watch: &Watch, filter: &Filter) -> Vec<String> {
    let list = review::list(watch.pool(), filter, None, 200).await.unwrap();
    list.alerts.into_iter().map(|reviewed| reviewed.alert.id).collect()
}

async fn decide(
    watch: &Watch,
    id: &str,
    verdict: Verdict,
    by: &str,
) -> Result<Decided, ReviewError> {
    review::decide(watch.pool(), id, verdict, by, Some("because")).await
}

/// Five wallets, each with a large outflow.
async fn five() -> Watch {
    let watch = Watch::new(1).await;
    for number in 0..5 {
        watch.large_outflow(&id(&format!("w{number}"))).await;
    }
    watch.fold().await;
    watch
}

#[tokio::test]
async fn alerts_are_listed_newest_first_by_wallet_rule_state_and_time() {
    let watch = five().await;
    let w0 = id("w0");
    for _ in 0..3 {
        watch.accepted(withdraw(&w0, "1")).await;
    }
    watch.fold().await;
    let all = watch.alerts().await;
    let newest = all.iter().map(|alert| alert.event.position).collect::<Vec<_>>();
    // Each wallet opens, gets and loses money; the third small withdrawal is the fourth in all.
    assert_eq!(newest, [17, 15, 12, 9, 6, 3]);
    let of_w0 = Filter { wallet: Some(w0), ..Filter::default() };
    assert_eq!(ids(&watch, &of_w0).await, ["frequentWithdrawals:0-17", "largeOutflow:0-3"]);
    let frequent = Filter { rule: Some(Rule::FrequentWithdrawals), ..Filter::default() };
    assert_eq!(ids(&watch, &frequent).await, ["frequentWithdrawals:0-17"]);
    let (second, oldest) = (all[4].at, all[5].at);
    let from = Filter { from: Some(second), ..Filter::default() };
    assert_eq!(ids(&watch, &from).await.len(), 5, "then or later");
    let to = Filter { to: Some(second), ..Filter::default() };
    assert_eq!(ids(&watch, &to).await, ["largeOutflow:0-3"], "before");
    let between =
        Filter { from: Some(oldest + TimeDelta::microseconds(1)), to: Some(second), ..to };
    assert_eq!(ids(&watch, &between).await, [""; 0]);
    decide(&watch, "largeOutflow:0-3", Verdict::Acknowledged, "olga").await.unwrap();
    decide(&watch, "largeOutflow:0-6", Verdict::Dismissed, "olga").await.unwrap();
    for (state, expected) in [
        (State::Acknowledged, &["largeOutflow:0-3"][..]),
        (State::Dismissed, &["largeOutflow:0-6"]),
    ] {
        let filter = Filter { state: Some(state), ..Filter::default() };
        assert_eq!(ids(&watch, &filter).await, expected);
    }
    let open = Filter { state: Some(State::Open), ..Filter::default() };
    assert_eq!(ids(&watch, &open).await.len(), 4);
}

#[tokio::test]
async fn pages_go_to_the_end_without_gap_or_double_while_alerts_come() {
    let watch = five().await;
    for filter in [
        Filter::default(),
        Filter { rule: Some(Rule::LargeOutflow), state: Some(State::Open), ..Filter::default() },
    ] {
        let known: BTreeSet<String> = ids(&watch, &filter).await.into_iter().collect();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let AlertList { alerts, next, positions } =
                review::list(watch.pool(), &filter, after.as_ref(), 2).await.unwrap();
            assert!(alerts.len() <= 2 && positions.len() == 1, "{alerts:?} {positions:?}");
            seen.extend(alerts.into_iter().map(|reviewed| reviewed.alert.id));
            after = next;
            if after.is_none() {
                break;
            }
            watch.large_outflow(&id(&format!("late-{}", seen.len()))).await;
            watch.fold().await;
        }
        assert_eq!(seen.len(), known.len());
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), known);
    }
}

#[tokio::test]
async fn a_verdict_is_given_once_and_repeated_in_the_same_words_only() {
    let watch = five().await;
    let alert = "largeOutflow:0-3";
    let unknown = decide(&watch, "largeOutflow:0-4", Verdict::Dismissed, "olga").await;
    assert!(matches!(unknown, Err(ReviewError::NotFound)), "{unknown:?}");
    let first = decide(&watch, alert, Verdict::Acknowledged, "olga").await.unwrap();
    assert_eq!((first.alert.state(), first.is_repeated), (State::Acknowledged, false));
    let again = decide(&watch, alert, Verdict::Acknowledged, "olga").await.unwrap();
    assert_eq!((&again.alert, again.is_repeated), (&first.alert, true));
    let other = decide(&watch, alert, Verdict::Acknowledged, "oleg").await;
    assert!(matches!(&other, Err(ReviewError::Decided(known)) if known.by == "olga"), "{other:?}");
    let dismissed = decide(&watch, alert, Verdict::Dismissed, "oleg").await.unwrap();
    assert_eq!((dismissed.alert.state(), dismissed.alert.decisions.len()), (State::Dismissed, 2));
    let late = decide(&watch, "largeOutflow:0-6", Verdict::Dismissed, "oleg").await.unwrap();
    assert!(!late.is_repeated);
    let too_late = decide(&watch, "largeOutflow:0-6", Verdict::Acknowledged, "olga").await;
    assert!(
        matches!(&too_late, Err(ReviewError::Decided(known)) if known.verdict == Verdict::Dismissed),
        "{too_late:?}"
    );
}

#[tokio::test]
async fn nobody_changes_a_decision() {
    let watch = five().await;
    decide(&watch, "largeOutflow:0-3", Verdict::Dismissed, "olga").await.unwrap();
    for change in [
        "UPDATE fraud_decisions SET decided_by = 'oleg'",
        "DELETE FROM fraud_decisions",
        "TRUNCATE fraud_decisions",
    ] {
        let error = sqlx::query(change).execute(&mut watch.admin().await).await.unwrap_err();
        let code = error.as_database_error().and_then(|error| error.code()).unwrap();
        assert_eq!(code, "42501", "{change}");
    }
}

#[tokio::test]
async fn a_wallet_is_suspicious_until_its_last_alert_is_dismissed() {
    let watch = five().await;
    let w0 = id("w0");
    let suspicion = async || review::suspicion(watch.pool(), &w0).await.unwrap();
    let reasons = suspicion().await.unwrap();
    assert!(matches!(&reasons[..], [one] if one.starts_with("largeOutflow: 10000.00 USD")));
    decide(&watch, "largeOutflow:0-3", Verdict::Acknowledged, "olga").await.unwrap();
    assert_eq!(suspicion().await, Some(reasons), "somebody looks after it, that is all");
    decide(&watch, "largeOutflow:0-3", Verdict::Dismissed, "olga").await.unwrap();
    assert_eq!(suspicion().await, None);
    let quiet = id("quiet");
    watch.accepted(deposit(&quiet, "1")).await;
    watch.fold().await;
    assert_eq!(review::suspicion(watch.pool(), &quiet).await.unwrap(), None);
}

#[tokio::test]
async fn the_reasons_of_a_suspicion_are_bounded() {
    let watch = Watch::new(1).await;
    let alice = id("alice");
    watch.accepted(deposit(&alice, "1000000")).await;
    for _ in 0..=MAX_REASONS {
        watch.accepted(withdraw(&alice, "10000")).await;
    }
    watch.fold().await;
    let large = watch.alerts().await.into_iter().filter(|alert| alert.rule == Rule::LargeOutflow);
    assert!(i64::try_from(large.count()).unwrap() > MAX_REASONS);
    let reasons = review::suspicion(watch.pool(), &alice).await.unwrap().unwrap();
    assert_eq!(i64::try_from(reasons.len()).unwrap(), MAX_REASONS);
}
