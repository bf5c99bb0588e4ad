//! Amounts are exact, however a client writes them.

use florin_tests::service::Service;

#[tokio::test]
async fn a_json_number_is_read_digit_by_digit() {
    let service = Service::start(1).await;
    for (n, (number, shown)) in [
        ("0.1", "0.10"),
        ("0.10", "0.10"),
        ("1", "1.00"),
        ("1.0", "1.00"),
        ("1.10", "1.10"),
        ("0.29", "0.29"),
        ("1e2", "100.00"),
        ("1.5E1", "15.00"),
        ("125e-2", "1.25"),
        ("4.35", "4.35"),
        ("12345678901.23", "12345678901.23"),
        ("999999999999999.99", "999999999999999.99"),
        ("1000000000000000", "1000000000000000.00"),
        ("0.010000000000000000000", "0.01"),
    ]
    .into_iter()
    .enumerate()
    {
        for (kind, text) in [("n", number.to_owned()), ("s", format!("\"{number}\""))] {
            if kind == "s" && number.contains(['e', 'E']) {
                continue; // A text is a plain decimal.
            }
            let path = format!("/wallets/{kind}{n}/deposit");
            let answer = service.post_text(&path, &format!(r#"{{"amount":{text}}}"#)).await;
            assert_eq!(answer.expect(201).text_of("amount"), shown, "{text}");
            assert_eq!(answer.text_of("balance"), shown, "{text}");
        }
    }
    service.finish().await;
}

#[tokio::test]
async fn what_a_float_would_round_adds_up() {
    let service = Service::start(1).await;
    for _ in 0..10 {
        service.post_text("/wallets/a/deposit", r#"{"amount":0.1}"#).await.expect(201);
        service.post_text("/wallets/a/deposit", r#"{"amount":0.2}"#).await.expect(201);
    }
    let read = service.get("/wallets/a").await;
    assert_eq!(read.text_of("balance"), "3.00");
    assert!(read.text.contains(r#""balance":"3.00""#), "an amount is a text on the wire: {read}");
    service.post_text("/wallets/a/withdraw", r#"{"amount":3.00}"#).await.expect(201);
    service.finish().await;
}

#[tokio::test]
async fn a_currency_shows_its_own_decimals() {
    let service = Service::start(1).await;
    for (id, currency, shown) in
        [("yen", "JPY", "1200"), ("dinar", "BHD", "1200.000"), ("euro", "EUR", "1200.00")]
    {
        let body = format!(r#"{{"amount":1200,"currency":"{currency}"}}"#);
        let answer = service.post_text(&format!("/wallets/{id}/deposit"), &body).await;
        assert_eq!(answer.expect(201).text_of("balance"), shown);
        assert_eq!(answer.text_of("currency"), currency);
    }
    service.finish().await;
}
