//! Commands in somebody's name: to all but its owner, a wallet is as one that was never opened.

use florin_application::command::{Outcome, Receipt};
use florin_application::{Command, Request};
use florin_domain::wallet::{Account, Deposit, Open};
use florin_domain::{Owner, Refusal, TransactionId, WalletCommand, WalletId};
use florin_tests::ask::{
    deposit, id, id_in, keyed, movement, refused, request, transfer, transferred, wallet_of,
    withdraw,
};
use florin_tests::on_every_journal;
use florin_tests::store::{Store, balance_of};
use futures::future::join_all;
use uuid::Uuid;

on_every_journal!(
    a_stranger_meets_a_wallet_that_was_never_opened,
    a_stranger_neither_meets_nor_leaves_a_key,
    a_key_for_a_wallet_without_an_id_belongs_to_its_owner,
    money_may_be_sent_to_anybody,
    of_two_who_open_a_wallet_at_once_one_owns_it,
);

fn owner(name: &str) -> Owner {
    name.parse().unwrap()
}

fn of(name: &str, request: Request) -> Request {
    Request { expected_owner: Some(owner(name)), ..request }
}

fn open(id: WalletId, id_is_new: bool, name: &str) -> Command {
    let open = Open {
        currency: "USD".parse().unwrap(),
        owner: Some(owner(name)),
        metadata: None,
        initial: None,
    };
    Command::Wallet { id, id_is_new, command: WalletCommand::Open(open) }
}

/// A deposit that opens the wallet as that of whoever deposits.
fn own_deposit(id: &WalletId, name: &str) -> Request {
    let deposit = Deposit {
        transaction_id: TransactionId(Uuid::now_v7()),
        amount: "1".parse().unwrap(),
        currency: None,
        metadata: None,
        opens_unknown: true,
        owner: Some(owner(name)),
    };
    let command = WalletCommand::Deposit(deposit);
    of(name, request(Command::Wallet { id: id.clone(), id_is_new: false, command }))
}

async fn a_stranger_meets_a_wallet_that_was_never_opened(store: &Store) {
    let (ledger, alice, nobody) = (store.process(), id("alice"), id("nobody"));
    ledger.submit(own_deposit(&alice, "alice")).await.unwrap();
    let bob = id("bob");
    ledger.submit(request(deposit(&bob, "1"))).await.unwrap();
    for wallet in [&alice, &bob, &nobody] {
        for command in [withdraw(wallet, "1"), transfer(wallet, &id("to"), "1")] {
            let mut asked = of("mallory", request(command));
            let answer = ledger.submit(asked.clone()).await.unwrap();
            assert_eq!(refused(answer), (Refusal::WalletNotFound, None), "{wallet}");
            // A wrong version would tell that there is one.
            asked.expected_version = Some(7);
            let answer = ledger.submit(asked).await.unwrap();
            assert_eq!(refused(answer), (Refusal::WalletNotFound, None), "{wallet}");
        }
    }
    for wallet in [&alice, &bob] {
        let answer = ledger.submit(own_deposit(wallet, "mallory")).await.unwrap();
        assert_eq!(refused(answer), (Refusal::WalletNotFound, None), "{wallet}");
        let asked = of("mallory", request(open(wallet.clone(), false, "mallory")));
        let answer = ledger.submit(asked).await.unwrap();
        assert_eq!(refused(answer), (Refusal::WalletExists, None), "{wallet}");
        assert_eq!(balance_of(&ledger, wallet).await, "1.00");
    }
    let answer = ledger.submit(of("alice", request(withdraw(&alice, "1")))).await.unwrap();
    assert_eq!(movement(answer).balance.to_string(), "0.00");
}

async fn a_stranger_neither_meets_nor_leaves_a_key(store: &Store) {
    let (ledger, alice) = (store.process(), id("alice"));
    let withdrawal = |name: &str, key: &str| of(name, keyed(key, withdraw(&alice, "1")));
    // Before there is a wallet, and afterwards, a key that a stranger sends is not used up.
    let before = ledger.submit(withdrawal("mallory", "k-1")).await.unwrap();
    assert_eq!(refused(before), (Refusal::WalletNotFound, None));
    ledger.submit(own_deposit(&alice, "alice")).await.unwrap();
    ledger.submit(own_deposit(&alice, "alice")).await.unwrap();
    for key in ["k-1", "k-2"] {
        ledger.submit(withdrawal("mallory", key)).await.unwrap();
        let own = ledger.submit(withdrawal("alice", key)).await.unwrap();
        assert!(!own.replayed);
        movement(own);
        // And what became of it is not told to a stranger who has seen the key.
        for command in [withdraw(&alice, "1"), withdraw(&alice, "2")] {
            let again = ledger.submit(of("mallory", keyed(key, command))).await.unwrap();
            assert!(!again.replayed);
            assert_eq!(refused(again), (Refusal::WalletNotFound, None));
        }
        assert!(ledger.submit(withdrawal("alice", key)).await.unwrap().replayed);
    }
    assert_eq!(balance_of(&ledger, &alice).await, "0.00");
}

async fn a_key_for_a_wallet_without_an_id_belongs_to_its_owner(store: &Store) {
    let ledger = store.process();
    let opening = |name: &str| of(name, keyed("k", open(Uuid::now_v7().into(), true, name)));
    let alices = wallet_of(ledger.submit(opening("alice")).await.unwrap());
    let bobs = wallet_of(ledger.submit(opening("bob")).await.unwrap());
    assert_ne!(alices.wallet_id, bobs.wallet_id);
    let again = ledger.submit(opening("alice")).await.unwrap();
    assert!(again.replayed);
    assert_eq!(wallet_of(again).wallet_id, alices.wallet_id);
}

async fn money_may_be_sent_to_anybody(store: &Store) {
    let (ledger, partitions) = (store.process(), store.journal().partitions());
    let alice = id_in(0, partitions, "alice");
    ledger.submit(own_deposit(&alice, "alice")).await.unwrap();
    ledger.submit(own_deposit(&alice, "alice")).await.unwrap();
    for partition in [0, partitions - 1] {
        let bob = id_in(partition, partitions, "bob");
        ledger.submit(own_deposit(&bob, "bob")).await.unwrap();
        let sent = of("alice", request(transfer(&alice, &bob, "1")));
        transferred(ledger.submit(sent).await.unwrap());
        let stolen = of("alice", request(transfer(&bob, &alice, "1")));
        let answer = ledger.submit(stolen).await.unwrap();
        assert_eq!(refused(answer), (Refusal::WalletNotFound, None));
    }
    assert_eq!(balance_of(&ledger, &alice).await, "0.00");
}

async fn of_two_who_open_a_wallet_at_once_one_owns_it(store: &Store) {
    let processes = [store.process(), store.process()];
    let names = ["alice", "bob"];
    for round in 0..40 {
        let wallet = id(&format!("w-{round}"));
        // Each from both processes, by a deposit and by name.
        let ask = async |n: usize| {
            let (ledger, name) = (&processes[n % 2], names[n / 2 % 2]);
            let asked = match n / 4 {
                0 => own_deposit(&wallet, name),
                _ => of(name, request(open(wallet.clone(), false, name))),
            };
            let answer = ledger.submit(asked).await.unwrap();
            (name, answer)
        };
        let answers = join_all((0..8).map(ask)).await;
        let state = processes[0].wallet(&wallet).await.unwrap().unwrap();
        let Account { owner, balance, .. } = &state.account;
        let owner = owner.as_ref().unwrap().as_str();
        let mut deposited = 0;
        for (name, answer) in answers {
            match answer.outcome {
                Outcome::Refused(_) => {}
                Outcome::Accepted(receipt) => {
                    assert_eq!(name, owner, "{wallet}: {receipt:?}");
                    deposited += u32::from(matches!(receipt, Receipt::Movement(_)));
                }
            }
        }
        assert_eq!(*balance, deposited.into(), "{wallet}");
    }
}
