//! What is refused: everything else.

use async_nats::ConnectOptions;
use async_nats::jetstream::consumer::pull;
use florin_adapters::nats::message::subjects_of;
use serde_json::json;

use super::{Guarded, Service, password};

/// The requests by which JetStream is changed, or gives what it has: those that nobody but Florin may
/// send, of a stream.
fn administration(stream: &str) -> Vec<String> {
    [
        "STREAM.CREATE",
        "STREAM.UPDATE",
        "STREAM.DELETE",
        "STREAM.PURGE",
        "STREAM.MSG.DELETE",
        "STREAM.MSG.GET",
        "STREAM.SNAPSHOT",
        "STREAM.RESTORE",
    ]
    .map(|verb| format!("$JS.API.{verb}.{stream}"))
    .into()
}

/// Nothing of a stream is other than it was.
async fn changes_nothing(nats: &Guarded, attempts: impl AsyncFnOnce()) {
    let florin = nats.streams().await;
    let subject = "ledger.0.wallet.alice.WalletOpened";
    florin.publish(subject, "{}".into()).await.unwrap().await.unwrap();
    let ledger = florin.get_stream("LEDGER").await.unwrap();
    let config =
        pull::Config { durable_name: Some("balance-0".to_owned()), ..pull::Config::default() };
    ledger.create_consumer(config).await.unwrap();
    let state = async || {
        let info = ledger.get_info().await.unwrap();
        let consumer = ledger.consumer_info("balance-0").await.unwrap();
        (info.config, info.state.messages, info.state.last_sequence, consumer.num_pending)
    };
    let before = state().await;
    attempts().await;
    assert_eq!(state().await, before);
}

/// What no other service may do.
async fn expect_refused(service: &mut Service, own: &[&str]) {
    for stream in ["LEDGER", "ALERTS", "DEAD_LETTERS", "OPERATIONS", "INTAKE", "OUTCOMES"] {
        for subject in administration(stream) {
            service.may_not_publish(&subject).await;
        }
    }
    for subject in [
        "ledger.0.wallet.alice.FundsDeposited",
        "alerts.alice.largeOutflow",
        "dead-letters.balance.alice",
        "operations.0.1",
        "wallet.transactionFinalized",
        "user.signup",
        "transaction.completed",
        "transaction.failed",
        "transaction.other",
        // The consumers of Florin and of others.
        "$JS.API.CONSUMER.CREATE.LEDGER",
        "$JS.API.CONSUMER.CREATE.LEDGER.balance-0",
        "$JS.API.CONSUMER.DURABLE.CREATE.LEDGER.balance-0",
        "$JS.API.CONSUMER.INFO.LEDGER.balance-0",
        "$JS.API.CONSUMER.DELETE.LEDGER.balance-0",
        "$JS.API.CONSUMER.MSG.NEXT.LEDGER.balance-0",
        "$JS.API.CONSUMER.MSG.NEXT.OPERATIONS.operations",
        "$JS.ACK.LEDGER.balance-0.1.1.1.1.0",
        "$JS.ACK.OPERATIONS.operations.1.1.1.1.0",
        "$SYS.REQ.SERVER.PING",
        "_INBOX.somebodys",
    ] {
        if !own.contains(&subject) {
            service.may_not_publish(subject).await;
        }
    }
    for subject in [
        ">",
        "*.>",
        "_INBOX.>",
        "operations.>",
        "user.signup",
        "transaction.*",
        "$JS.API.>",
        "$SYS.>",
    ] {
        service.may_not_subscribe(subject).await;
    }
    service.expect_no_answer().await;
}

#[tokio::test]
async fn a_service_downstream_may_do_nothing_but_read() {
    let nats = Guarded::start().await;
    changes_nothing(&nats, async || {
        let mut billing = nats.service("billing").await;
        expect_refused(&mut billing, &[]).await;
        for subject in
            ["alerts.>", "dead-letters.>", "wallet.transactionFinalized", "_INBOX_payments.>"]
        {
            billing.may_not_subscribe(subject).await;
        }
        // Under its own name it may ask for its own consumer only.
        let body = json!({
            "stream_name": "LEDGER",
            "config": { "durable_name": "balance-0", "name": "balance-0", "ack_policy": "all" },
        });
        for subject in ["CREATE.LEDGER.billing", "DURABLE.CREATE.LEDGER.billing"] {
            let subject = format!("$JS.API.CONSUMER.{subject}");
            let answer = billing.client.request(subject, body.to_string().into()).await.unwrap();
            let answer: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
            assert!(answer["error"]["code"].is_number(), "{answer}");
        }
    })
    .await;
}

/// The one way round it that there is: a consumer that pushes. Not into the ledger.
#[tokio::test]
async fn a_consumer_cannot_be_made_to_push_into_the_ledger() {
    let nats = Guarded::start().await;
    changes_nothing(&nats, async || {
        let billing = nats.service("billing").await;
        let body = json!({
            "stream_name": "LEDGER",
            "config": {
                "durable_name": "billing",
                "ack_policy": "none",
                "deliver_subject": "ledger.0.wallet.alice.FundsDeposited",
            },
        });
        let subject = "$JS.API.CONSUMER.DURABLE.CREATE.LEDGER.billing";
        let answer = billing.client.request(subject, body.to_string().into()).await.unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
        assert!(answer["error"]["description"].to_string().contains("cycle"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn a_service_upstream_may_do_nothing_but_ask_and_hear_what_became_of_it() {
    let nats = Guarded::start().await;
    changes_nothing(&nats, async || {
        let mut payments = nats.service("payments").await;
        let own = ["user.signup", "transaction.completed", "transaction.failed"];
        expect_refused(&mut payments, &own).await;
        for subject in [
            "$JS.API.STREAM.INFO.LEDGER",
            "$JS.API.CONSUMER.CREATE.LEDGER.payments",
            "$JS.API.CONSUMER.CREATE.OUTCOMES",
            "$JS.API.CONSUMER.CREATE.INTAKE.payments",
            "$JS.API.CONSUMER.MSG.NEXT.LEDGER.billing",
        ] {
            payments.may_not_publish(subject).await;
        }
        for subject in [&*subjects_of(0), "ledger.>", "alerts.>", "_INBOX_billing.>"] {
            payments.may_not_subscribe(subject).await;
        }
    })
    .await;
}

#[tokio::test]
async fn whoever_looks_after_the_service_may_not_read_the_ledger_nor_change_anything() {
    let nats = Guarded::start().await;
    changes_nothing(&nats, async || {
        let mut people = nats.service("people").await;
        expect_refused(&mut people, &[]).await;
        people.may_not_subscribe("ledger.>").await;
        people.may_not_publish("$JS.API.CONSUMER.CREATE.LEDGER.people").await;
    })
    .await;
}

#[tokio::test]
async fn florin_itself_may_not_speak_for_others() {
    let nats = Guarded::start().await;
    let florin = nats.service("florin").await;
    for subject in ["transaction.other", "_INBOX_billing.1", "$SYS.REQ.SERVER.PING"] {
        florin.may_not_publish(subject).await;
    }
}

#[tokio::test]
async fn nobody_gets_in_without_a_password_or_without_tls() {
    let nats = Guarded::start().await;
    let url = format!("tls://localhost:{}", nats.port);
    let tls = || florin_adapters::nats::tls(Some(&nats.ca())).unwrap();
    let anonymous = ConnectOptions::new().tls_client_config(tls()).connect(&url).await;
    assert!(anonymous.unwrap_err().to_string().contains("authorization"));
    let wrong = ConnectOptions::with_user_and_password("billing".to_owned(), password("payments"));
    let wrong = wrong.tls_client_config(tls()).connect(&url).await;
    assert!(wrong.unwrap_err().to_string().contains("authorization"));
    // Whose certificate nobody vouches for, the client does not speak to.
    let untrusted =
        ConnectOptions::with_user_and_password("billing".to_owned(), password("billing"));
    let nobody = florin_adapters::nats::tls(None).unwrap();
    assert!(untrusted.tls_client_config(nobody).connect(&url).await.is_err());
}
