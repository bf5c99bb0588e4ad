//! The promises of the port, kept by every journal.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use florin_application::command::Outcome;
use florin_application::journal::{
    AppendError, Batch, Head, KeptKey, MAX_TAIL, PartitionJournal, WalletRecord,
};
use florin_domain::transfer::Phase;
use florin_domain::{WalletId, partition_of};
use florin_tests::ask::id_in;
use florin_tests::batches::{
    batch, departure, deposited, homecoming, kept, kept_transfer, key, opened, opening, outcome,
    wallet_event,
};
use florin_tests::on_every_journal;
use florin_tests::store::Store;
use futures::poll;

on_every_journal!(
    an_append_moves_the_head,
    an_append_on_an_old_head_keeps_nothing,
    a_taken_key_keeps_nothing_of_its_batch,
    a_batch_that_leaves_a_wallet_below_zero_keeps_nothing,
    a_lock_keeps_others_out_until_it_is_released,
    a_lock_ends_with_the_append_of_its_holder,
    a_lock_of_one_partition_holds_up_no_other,
    a_tail_beyond_its_bound_is_not_sent,
    keys_are_found_with_their_outcomes,
    a_key_on_record_says_when_it_was_recorded,
    a_transfer_tells_the_outcome_of_its_key,
    a_transfer_is_unfinished_until_it_has_ended,
    wallets_are_loaded_in_the_order_asked,
);

/// Appends to an empty partition, and returns the head after it.
async fn append_first(partition: &mut dyn PartitionJournal, batch: &Batch) -> Head {
    partition.append(batch).await.unwrap();
    batch.head()
}

async fn an_append_moves_the_head(store: &Store) {
    let mut partition = store.partition(0);
    let empty = partition.catch_up(0).await.unwrap();
    assert_eq!((empty.head.position, empty.events), (0, Some(vec![])));
    let first = opening(0, empty.head, &id_in(0, store.partitions(), "a"), 500);
    partition.append(&first).await.unwrap();
    let mut other = store.partition(0);
    let tail = other.catch_up(0).await.unwrap();
    assert_eq!((tail.head, tail.events.as_ref()), (first.head(), Some(&first.events)));
    let rest = other.catch_up(1).await.unwrap();
    assert_eq!(rest.events.unwrap(), first.events[1..]);
    assert_eq!(other.catch_up(2).await.unwrap().events, Some(vec![]));
}

async fn an_append_on_an_old_head_keeps_nothing(store: &Store) {
    let mut partition = store.partition(0);
    let (a, b) = (id_in(0, store.partitions(), "a"), id_in(0, store.partitions(), "b"));
    let head = append_first(&mut *partition, &opening(0, Head::EMPTY, &a, 500)).await;
    let mut late = opening(0, Head::EMPTY, &b, 500);
    late.keys.push(kept(&b, "k", None));
    let refused = partition.append(&late).await;
    assert!(matches!(refused, Err(AppendError::Moved)), "{refused:?}");
    assert_eq!(partition.catch_up(head.position).await.unwrap().head, head);
    assert_eq!(partition.find_keys(&[key(&b, "k")]).await.unwrap(), []);
    assert_eq!(partition.load_wallets(&[b]).await.unwrap(), [WalletRecord::unknown()]);
}

async fn a_taken_key_keeps_nothing_of_its_batch(store: &Store) {
    let mut partition = store.partition(0);
    let (a, b) = (id_in(0, store.partitions(), "a"), id_in(0, store.partitions(), "b"));
    let mut first = opening(0, Head::EMPTY, &a, 500);
    first.keys.push(kept(&a, "k", Some(outcome(&a, 500))));
    let head = append_first(&mut *partition, &first).await;
    let mut second = opening(0, head, &b, 500);
    second.keys = vec![kept(&b, "new", None), kept(&a, "k", Some(outcome(&a, 700)))];
    let refused = partition.append(&second).await;
    assert!(matches!(refused, Err(AppendError::KeyTaken)), "{refused:?}");
    assert_eq!(partition.catch_up(head.position).await.unwrap().head, head);
    let kept = partition.find_keys(&[key(&b, "new"), key(&a, "k")]).await.unwrap();
    assert_eq!(kept, first.keys, "the first outcome stands, and the batch's other key is free");
    assert_eq!(partition.load_wallets(&[b]).await.unwrap(), [WalletRecord::unknown()]);
}

async fn a_batch_that_leaves_a_wallet_below_zero_keeps_nothing(store: &Store) {
    let mut partition = store.partition(0);
    let a = id_in(0, store.partitions(), "a");
    let mut overdrawn = batch(0, Head::EMPTY);
    wallet_event(&mut overdrawn, &a, 1, &opened(), 0);
    wallet_event(&mut overdrawn, &a, 2, &deposited(500, -1), -1);
    let refused = partition.append(&overdrawn).await;
    assert!(matches!(refused, Err(AppendError::Rejected(_))), "{refused:?}");
    assert_eq!(partition.catch_up(0).await.unwrap().head.position, 0);
    partition.append(&opening(0, Head::EMPTY, &a, 500)).await.unwrap();
}

/// How long something that must not happen is waited for.
const A_WHILE: Duration = Duration::from_millis(100);

async fn a_lock_keeps_others_out_until_it_is_released(store: &Store) {
    let (mut holder, mut other) = (store.partition(0), store.partition(0));
    let first = opening(0, Head::EMPTY, &id_in(0, store.partitions(), "a"), 500);
    let tail = holder.lock(0).await.unwrap();
    assert_eq!(tail.head.position, 0);
    let mut append = pin!(other.append(&first));
    let early = tokio::time::timeout(A_WHILE, &mut append).await;
    assert!(early.is_err(), "appended to a locked partition: {early:?}");
    holder.release().await;
    append.await.unwrap();
    holder.release().await;
    assert_eq!(holder.catch_up(0).await.unwrap().head, first.head());
}

async fn a_lock_ends_with_the_append_of_its_holder(store: &Store) {
    let partitions = store.partitions();
    let (mut holder, mut other) = (store.partition(0), store.partition(0));
    let head = holder.lock(0).await.unwrap().head;
    let first = opening(0, head, &id_in(0, partitions, "a"), 500);
    let late = opening(0, head, &id_in(0, partitions, "b"), 500);
    let mut append = other.append(&late);
    assert!(poll!(&mut append).is_pending());
    holder.append(&first).await.unwrap();
    let refused = append.await;
    assert!(matches!(refused, Err(AppendError::Moved)), "{refused:?}");
    let mut second = batch(0, first.head());
    wallet_event(&mut second, &id_in(0, partitions, "b"), 1, &opened(), 0);
    other.append(&second).await.unwrap();
}

async fn a_lock_of_one_partition_holds_up_no_other(store: &Store) {
    let mut holder = store.partition(0);
    holder.lock(0).await.unwrap();
    for number in 1..store.partitions() {
        let wallet = id_in(number, store.partitions(), "a");
        let mut partition = store.partition(number);
        partition.append(&opening(number, Head::EMPTY, &wallet, 500)).await.unwrap();
    }
    holder.release().await;
}

async fn a_tail_beyond_its_bound_is_not_sent(store: &Store) {
    let mut partition = store.partition(0);
    let a = id_in(0, store.partitions(), "a");
    let mut long = batch(0, Head::EMPTY);
    wallet_event(&mut long, &a, 1, &opened(), 0);
    for n in 1..=i64::try_from(MAX_TAIL).unwrap() {
        let sequence = long.head().position + 1;
        wallet_event(&mut long, &a, sequence, &deposited(1, n), n);
    }
    partition.append(&long).await.unwrap();
    let all = partition.catch_up(0).await.unwrap();
    assert_eq!((all.head, all.events), (long.head(), None));
    let rest = partition.catch_up(1).await.unwrap();
    assert_eq!((rest.head, rest.events.unwrap().len()), (long.head(), 10_000));
    let record = partition.load_wallets(&[a]).await.unwrap().remove(0);
    assert_eq!((record.version, record.position), (10_001, 10_001));
    assert_eq!(record.wallet.account().unwrap().balance.to_string(), "100.00");
}

async fn keys_are_found_with_their_outcomes(store: &Store) {
    let mut partition = store.partition(0);
    let (a, b) = (id_in(0, store.partitions(), "a"), id_in(0, store.partitions(), "b"));
    let mut first = opening(0, Head::EMPTY, &a, 500);
    first.keys = vec![kept(&a, "1", Some(outcome(&a, 500))), kept(&a, "2", None)];
    append_first(&mut *partition, &first).await;
    let asked = [key(&a, "1"), key(&a, "2"), key(&a, "never"), key(&b, "1")];
    let mut found = partition.find_keys(&asked).await.unwrap();
    found.sort_by_key(|kept| kept.key.request_id.to_string());
    assert_eq!(found, first.keys);
    assert_eq!(partition.find_keys(&[]).await.unwrap(), []);
}

async fn a_key_on_record_says_when_it_was_recorded(store: &Store) {
    let mut partition = store.partition(0);
    let a = id_in(0, store.partitions(), "a");
    let mut first = opening(0, Head::EMPTY, &a, 500);
    first.keys = vec![kept(&a, "1", Some(outcome(&a, 500)))];
    append_first(&mut *partition, &first).await;
    let record = store.journal().key(&key(&a, "1")).await.unwrap().unwrap();
    assert_eq!((&record.kept, record.recorded_at), (&first.keys[0], first.recorded_at));
    assert_eq!(store.journal().key(&key(&a, "2")).await.unwrap(), None);
}

async fn a_transfer_tells_the_outcome_of_its_key(store: &Store) {
    let mut partition = store.partition(0);
    let (a, b) = (id_in(0, store.partitions(), "a"), id_in(0, store.partitions(), "b"));
    let head = append_first(&mut *partition, &opening(0, Head::EMPTY, &a, 500)).await;
    let mut sent = departure(0, head, &a, &b, 500);
    let transfer = sent.started[0];
    sent.keys = vec![kept_transfer(&a, "k", transfer)];
    partition.append(&sent).await.unwrap();
    let asked = [key(&a, "k")];
    assert_eq!(partition.find_keys(&asked).await.unwrap(), sent.keys, "none while it is under way");

    let ended = homecoming(0, sent.head(), (transfer, &a, &b), 500);
    partition.append(&ended).await.unwrap();
    let record = store.journal().transfer(transfer).await.unwrap().unwrap();
    let outcome = record.outcome().map(Arc::new);
    assert!(matches!(outcome.as_deref(), Some(Outcome::Refused(_))), "{outcome:?}");
    let told = KeptKey { outcome, ..kept_transfer(&a, "k", transfer) };
    assert_eq!(partition.find_keys(&asked).await.unwrap(), [told]);
}

async fn a_transfer_is_unfinished_until_it_has_ended(store: &Store) {
    let partitions = store.partitions();
    let number = partitions - 1;
    let (mut partition, mut first) = (store.partition(number), store.partition(0));
    let (a, b) = (id_in(number, partitions, "a"), id_in(0, partitions, "b"));
    let head = append_first(&mut *partition, &opening(number, Head::EMPTY, &a, 500)).await;
    assert_eq!(partition.unfinished().await.unwrap(), []);
    let sent = departure(number, head, &a, &b, 500);
    partition.append(&sent).await.unwrap();

    let unfinished = partition.unfinished().await.unwrap();
    let [transfer] = &unfinished[..] else { panic!("one is under way, not {unfinished:?}") };
    let details = transfer.transfer.details().unwrap();
    assert_eq!((details.phase, &details.from, &details.to), (Phase::Debited, &a, &b));
    assert_eq!((transfer.partition, transfer.version), (number, 2));
    assert_eq!(transfer.position, sent.head().position);
    assert_eq!(store.journal().transfer(transfer.id).await.unwrap().as_ref(), Some(transfer));
    if number > 0 {
        assert_eq!(first.unfinished().await.unwrap(), [], "each partition drives its own");
    }

    let ended = homecoming(number, sent.head(), (transfer.id, &a, &b), 500);
    partition.append(&ended).await.unwrap();
    assert_eq!(partition.unfinished().await.unwrap(), []);
    let transfer = store.journal().transfer(transfer.id).await.unwrap().unwrap();
    assert_eq!(transfer.transfer.details().unwrap().phase, Phase::Failed);
    assert_eq!((transfer.version, transfer.position), (4, ended.head().position));
}

async fn wallets_are_loaded_in_the_order_asked(store: &Store) {
    let mut partition = store.partition(0);
    let ids: Vec<WalletId> =
        (0..5).map(|n| id_in(0, store.partitions(), &format!("w{n}"))).collect();
    let mut head = Head::EMPTY;
    for (cents, wallet) in (1..).zip(&ids[..4]) {
        assert_eq!(partition_of(wallet, store.partitions()), 0);
        let next = opening(0, head, wallet, cents);
        partition.append(&next).await.unwrap();
        head = next.head();
    }
    let asked = [3, 4, 0, 2].map(|n: usize| ids[n].clone());
    let loaded = partition.load_wallets(&asked).await.unwrap();
    let seen: Vec<_> = loaded
        .iter()
        .map(|record| {
            let balance = record.wallet.account().map(|account| account.balance.to_string());
            (balance.unwrap_or_default(), record.version, record.position)
        })
        .collect();
    let seen: Vec<_> = seen.iter().map(|(b, v, p)| (b.as_str(), *v, *p)).collect();
    assert_eq!(seen, [("0.04", 2, 8), ("", 0, 0), ("0.01", 2, 2), ("0.03", 2, 6)]);
    assert_eq!(partition.load_wallets(&[]).await.unwrap(), []);
}
