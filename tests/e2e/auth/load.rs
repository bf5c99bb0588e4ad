//! Load through the door: every answer checked, every sum proved.

use florin_adapters::config::BearerArgs;
use florin_adapters::monkey::{self, MonkeyArgs};
use florin_tests::issuer::{Issuer, claims};
use florin_tests::monkeys::{Effort, calm, expect_clean};
use florin_tests::service::Service;
use serde_json::json;

#[tokio::test]
async fn a_service_that_wants_tokens_is_stressed_with_one() {
    let issuer = Issuer::new();
    let service = Service::guarded(2, issuer.auth(Default::default()).await).await;
    let claims = claims("monkey", "ledger:read ledger:write", json!({}));
    let bearer = |token: &str| BearerArgs { token: Some(token.parse().unwrap()) };
    let calm = calm(service.url(), "tokens", Effort { requests: 400, concurrency: 16 });
    let token = issuer.pair("ed").token(&claims);
    let args = MonkeyArgs { bearer: bearer(&token), ..calm.clone() };
    expect_clean(&monkey::run(&args).await);
    // Without one it finds fault.
    let few = MonkeyArgs { requests: 5, prefix: Some("none".to_owned()), ..calm };
    assert!(!monkey::run(&few).await.is_clean());
    service.finish().await;
}
