//! A request's trace: in its answer, and with the events that it led to.

use florin_tests::ask::id_in;
use florin_tests::service::Service;
use serde_json::json;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn a_trace_that_is_sent_is_in_the_answer_and_in_the_events() {
    for partitions in [1, 4] {
        let service = Service::start(partitions).await;
        let (a, b) = (id_in(0, partitions, "a"), id_in(partitions - 1, partitions, "b"));
        let post = async |verb: &str, body| {
            let headers = [("traceparent", PARENT)];
            service.post_with(&format!("/wallets/{a}/{verb}"), &headers, body).await
        };
        let accepted = post("deposit", json!({ "amount": 5, "requestId": "k" })).await;
        assert_eq!(accepted.expect(201).header("x-trace-id"), Some(TRACE));
        let refused = post("withdraw", json!({ "amount": 6 })).await;
        assert_eq!(refused.expect_problem(422, "insufficient-funds").text_of("traceId"), TRACE);
        let malformed = post("withdraw", json!({})).await;
        assert_eq!(malformed.expect_problem(400, "missing-field").text_of("traceId"), TRACE);
        let sent = post("transfer", json!({ "toWalletId": b, "amount": 5 })).await;
        sent.expect(201);

        let events = service.store().events().await;
        let metadata_of = |name: &str| -> serde_json::Value {
            let event = events.iter().find(|event| event.event_type == name).unwrap();
            let mut metadata: serde_json::Value = serde_json::from_str(&event.metadata).unwrap();
            // Of the record of the call, which has tests of its own.
            metadata.as_object_mut().unwrap().remove("auditId").unwrap();
            metadata
        };
        for name in ["WalletOpened", "FundsDeposited"] {
            let expected = json!({
                "requestId": "k", "traceparent": PARENT,
                "correlationId": accepted.body["transactionId"],
            });
            assert_eq!(metadata_of(name), expected, "{name}");
        }
        for name in [
            "TransferInitiated",
            "FundsDebited",
            "TransferDebited",
            "FundsCredited",
            "TransferCompleted",
        ] {
            let expected =
                json!({ "traceparent": PARENT, "correlationId": sent.body["transferId"] });
            assert_eq!(metadata_of(name), expected, "{name}");
        }
        service.finish().await;
    }
}

#[tokio::test]
async fn every_answer_has_a_trace_of_its_own() {
    let service = Service::start(1).await;
    let mut seen = std::collections::HashSet::new();
    for headers in [&[][..], &[("traceparent", "not a trace")][..]] {
        for body in [json!({ "amount": 1 }), json!({})] {
            let answer = service.post_with("/wallets/a/deposit", headers, body).await;
            let trace = answer.header("x-trace-id").unwrap().to_owned();
            assert!(trace.len() == 32 && seen.insert(trace), "{answer}");
        }
    }
    let events = service.store().events().await;
    assert!(events.iter().all(|event| !event.metadata.contains("traceparent")));
    service.finish().await;
}
