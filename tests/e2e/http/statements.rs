//! Statements: that opening + in − out = closing whatever the period, in every format.

use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use florin_domain::journal::{Event, RecordedEvent};
use florin_domain::upcast::decode;
use florin_domain::{WalletEvent, WalletId};
use florin_projections::history::MAX_STATEMENT;
use florin_tests::ask::id_in;
use florin_tests::feed::random;
use florin_tests::service::{Answer, Service, send};
use florin_tests::store::{Store, eventually};
use florin_tests::turmoil::turmoil;
use reqwest::Method;
use reqwest::header::ACCEPT;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

async fn statement(service: &Service, wallet: &str, query: &str) -> Answer {
    service.get(&format!("/wallets/{wallet}/statement?{query}")).await
}

fn decimal(value: &Value) -> Decimal {
    value.as_str().unwrap().parse().unwrap()
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// A movement as the journal has it: position, time, signed amount, balance.
type Moved = (u64, DateTime<Utc>, Decimal, Decimal);

fn movements(events: &[RecordedEvent], wallet: &WalletId) -> Vec<Moved> {
    let of_wallet = events.iter().filter(|event| *event.aggregate_id == *wallet.as_str());
    of_wallet
        .filter_map(|recorded| {
            let Event::Wallet(event) = decode(recorded).unwrap() else { return None };
            let (amount, balance) = match event {
                WalletEvent::FundsDeposited { amount, balance, .. }
                | WalletEvent::FundsCredited { amount, balance, .. }
                | WalletEvent::FundsRefunded { amount, balance, .. } => (amount, balance),
                WalletEvent::FundsWithdrawn { amount, balance, .. }
                | WalletEvent::FundsDebited { amount, balance, .. } => (-amount, balance),
                WalletEvent::WalletOpened { .. }
                | WalletEvent::WalletFrozen { .. }
                | WalletEvent::WalletUnfrozen { .. }
                | WalletEvent::WalletClosed { .. } => return None,
            };
            Some((recorded.position, recorded.recorded_at, amount, balance))
        })
        .collect()
}

/// Fails the test unless the statement is what the journal has between the two times.
fn expect_journal(answer: &Answer, all: &[Moved], from: DateTime<Utc>, to: DateTime<Utc>) {
    let body = &answer.expect(200).body;
    let before = all.iter().rfind(|(_, at, ..)| *at < from);
    let opening = before.map_or(Decimal::ZERO, |(.., balance)| *balance);
    let within: Vec<&Moved> = all.iter().filter(|(_, at, ..)| from <= *at && *at < to).collect();
    let entries = body["entries"].as_array().unwrap();
    assert_eq!(entries.len(), within.len(), "{answer}");
    for (entry, (position, at, amount, balance)) in entries.iter().zip(&within) {
        let is_in = amount.is_sign_positive();
        assert_eq!(entry["id"].as_str().unwrap().split_once('-').unwrap().1, position.to_string());
        assert_eq!(entry["occurredAt"], rfc3339(*at));
        assert_eq!(entry["direction"], if is_in { "in" } else { "out" });
        assert_eq!(
            (decimal(&entry["amount"]), decimal(&entry["balanceAfter"])),
            (amount.abs(), *balance)
        );
    }
    let sum = |is_in: bool| -> Decimal {
        let of_side = within.iter().filter(|(_, _, amount, _)| amount.is_sign_positive() == is_in);
        of_side.map(|(_, _, amount, _)| amount.abs()).sum()
    };
    let [start, money_in, money_out, end] =
        ["openingBalance", "totalIn", "totalOut", "closingBalance"]
            .map(|name| decimal(&body[name]));
    assert_eq!((start, money_in, money_out), (opening, sum(true), sum(false)), "{answer}");
    assert_eq!(start + money_in - money_out, end, "{answer}");
    assert_eq!(
        body["countIn"].as_u64().unwrap() + body["countOut"].as_u64().unwrap(),
        within.len() as u64
    );
}

#[tokio::test]
async fn a_statement_of_any_period_is_what_the_journal_has_in_it() {
    let mut seed = 17;
    for partitions in [1, 4] {
        let service = Service::start(partitions).await;
        let wallets = turmoil(service.ledger(), &mut seed, 400).await;
        let events = service.store().events().await;
        let heads: Vec<String> = (0..partitions)
            .map(|partition| {
                let of = events.iter().filter(|event| event.partition == partition);
                format!("{partition}-{}", of.count())
            })
            .collect();
        let heads = heads.join(",");
        let any_time = |seed: &mut u64| {
            let index = usize::try_from(random(seed) % events.len() as u64).unwrap();
            events[index].recorded_at
        };
        for wallet in &wallets {
            let all = movements(&events, wallet);
            assert!(!all.is_empty(), "{wallet} has moved");
            let whole = statement(&service, wallet.as_str(), &format!("minPosition={heads}")).await;
            expect_journal(&whole, &all, DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
            for _ in 0..5 {
                let mut times = [any_time(&mut seed), any_time(&mut seed)];
                times.sort();
                let [from, to] = times;
                let query = format!("from={}&to={}", rfc3339(from), rfc3339(to));
                expect_journal(&statement(&service, wallet.as_str(), &query).await, &all, from, to);
            }
        }
        service.finish().await;
    }
}

#[tokio::test]
async fn a_period_has_what_begins_with_it_and_not_what_begins_with_its_end() {
    let service = Service::start(1).await;
    for amount in ["1", "2", "4"] {
        service.post("/wallets/w/deposit", json!({ "amount": amount })).await.expect(201);
    }
    let whole = statement(&service, "w", "").await;
    let times: Vec<&str> = (0..3)
        .map(|entry| whole.expect(200).body["entries"][entry]["occurredAt"].as_str().unwrap())
        .collect();
    let second: DateTime<Utc> = times[1].parse().unwrap();
    let delhi = FixedOffset::east_opt(5 * 3600 + 1800).unwrap();
    let delhi = second.with_timezone(&delhi).to_rfc3339().replace('+', "%2B");
    let (first, second, third) = (times[0], times[1], times[2]);
    for (query, opening, closing, count) in [
        (String::new(), "0.00", "7.00", 3),
        (format!("from={second}"), "1.00", "7.00", 2),
        (format!("to={second}"), "0.00", "1.00", 1),
        (format!("from={second}&to={third}"), "1.00", "3.00", 1),
        (format!("from={delhi}&to={third}"), "1.00", "3.00", 1),
        (format!("from={second}&to={second}"), "1.00", "1.00", 0),
        (format!("to={first}"), "0.00", "0.00", 0),
        ("from=2100-01-01T00:00:00Z".to_owned(), "7.00", "7.00", 0),
        ("to=2000-01-01T00:00:00Z".to_owned(), "0.00", "0.00", 0),
    ] {
        let answer = statement(&service, "w", &query).await;
        answer.expect(200).expect_members(json!({
            "openingBalance": opening, "closingBalance": closing, "currency": "USD",
        }));
        assert_eq!(answer.body["entries"].as_array().unwrap().len(), count, "{query}: {answer}");
    }
    for query in [
        format!("from={third}&to={second}"),
        "from=today".to_owned(),
        "to=2026-01-31".to_owned(),
        "minPosition=x".to_owned(),
    ] {
        statement(&service, "w", &query).await.expect_problem(400, "invalid-parameter");
    }
    service.finish().await;
}

#[tokio::test]
async fn a_transfer_that_comes_back_is_on_both_sides() {
    for partitions in [1, 4] {
        let service = Service::start(partitions).await;
        let (a, b) = (id_in(0, partitions, "a"), id_in(partitions - 1, partitions, "b"));
        service.post("/wallets", json!({ "id": a, "balance": 9 })).await.expect(201);
        service.post("/wallets", json!({ "id": b, "currency": "EUR" })).await.expect(201);
        let sent = json!({ "toWalletId": b, "amount": 4 });
        let sent = service.post(&format!("/wallets/{a}/transfer"), sent).await;
        sent.expect_problem(422, "currency-mismatch");
        // Whoever is refused is told of no position.
        let told = eventually("the money is back", async || {
            let told = statement(&service, a.as_str(), "").await;
            if told.expect(200).body["countIn"] == 2 { Ok(told) } else { Err(told) }
        })
        .await;
        told.expect_members(json!({
            "totalIn": "13.00", "totalOut": "4.00", "closingBalance": "9.00",
        }));
        let entries = told.body["entries"].as_array().unwrap();
        let lines: Vec<[&Value; 2]> =
            entries.iter().map(|entry| [&entry["type"], &entry["status"]]).collect();
        assert_eq!(lines[1], [&json!("transfer_out"), &json!("failed")], "{told}");
        assert_eq!(lines[2], [&json!("transfer_refund"), &json!("completed")], "{told}");
        assert_eq!(entries[1]["failure"], "the wallet holds EUR, not USD", "{told}");
        service.finish().await;
    }
}

#[tokio::test]
async fn money_in_flight_has_left_its_source_and_is_not_in_its_target() {
    let service = Service::start(4).await;
    let (a, b) = (id_in(0, 4, "a"), id_in(3, 4, "b"));
    service.post("/wallets", json!({ "id": a, "balance": 5 })).await.expect(201);
    service.post("/wallets", json!({ "id": b })).await.expect(201);
    let mut lock = service.store().partition(3);
    lock.lock(0).await.unwrap();
    let path = format!("/wallets/{a}/transfer");
    let meanwhile = async {
        eventually("the money leaves", async || {
            let told = statement(&service, a.as_str(), "").await;
            if told.body["closingBalance"] == "0.00" { Ok(told) } else { Err(told) }
        })
        .await
        .expect_members(json!({ "totalIn": "5.00", "totalOut": "5.00" }));
        let pending = statement(&service, a.as_str(), "").await;
        assert_eq!(pending.body["entries"][1]["status"], "pending", "{pending}");
        let target = statement(&service, b.as_str(), "").await;
        target.expect(200).expect_members(json!({ "closingBalance": "0.00", "entries": [] }));
        lock.release().await;
    };
    let body = json!({ "toWalletId": b, "amount": 5 });
    let (sent, ()) = tokio::join!(service.post(&path, body), meanwhile);
    sent.expect(201);
    let target = statement(&service, b.as_str(), "").await;
    target.expect(200).expect_members(json!({ "closingBalance": "5.00", "countIn": 1 }));
    service.finish().await;
}

#[tokio::test]
async fn a_wallet_that_is_frozen_or_closed_has_its_statement() {
    let service = Service::start(1).await;
    service.post("/wallets/w/deposit", json!({ "amount": 5 })).await.expect(201);
    service.post("/wallets/w/freeze", json!({})).await.expect(200);
    let frozen = statement(&service, "w", "").await;
    frozen.expect(200).expect_members(json!({ "closingBalance": "5.00" }));
    service.post("/wallets/w/unfreeze", json!({})).await.expect(200);
    service.post("/wallets/w/withdraw", json!({ "amount": 5 })).await.expect(201);
    service.post("/wallets/w/close", json!({})).await.expect(200);
    let closed = statement(&service, "w", "").await;
    closed.expect(200).expect_members(json!({ "closingBalance": "0.00", "countOut": 1 }));
    statement(&service, "nobody", "").await.expect_problem(404, "wallet-not-found");
    statement(&service, "a%20b", "").await.expect_problem(400, "invalid-wallet-id");
    service.finish().await;
}

#[tokio::test]
async fn a_statement_is_written_as_the_client_accepts_it() {
    let service = Service::start(1).await;
    service.post("/wallets/w/deposit", json!({ "amount": 5 })).await.expect(201);
    let path = "/wallets/w/statement";
    for (accept, format, kind) in [
        ("*/*", "", "application/json"),
        ("application/json", "", "application/json"),
        ("text/csv", "", "text/csv; charset=utf-8; header=present"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "", "text/html; charset=utf-8"),
        ("application/json", "?format=csv", "text/csv; charset=utf-8; header=present"),
        ("application/json", "?format=html", "text/html; charset=utf-8"),
        ("application/pdf", "?format=json", "application/json"),
    ] {
        let request = service.request(Method::GET, &format!("{path}{format}"));
        let answer = send(request.header(ACCEPT, accept)).await;
        assert_eq!(answer.expect(200).header("content-type"), Some(kind), "{accept} {format}");
        assert_eq!(answer.header("vary"), Some("accept"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("florin-position"), Some("0-2"));
        let disposition =
            kind.starts_with("text/csv").then_some("attachment; filename=\"statement-w.csv\"");
        assert_eq!(answer.header("content-disposition"), disposition);
    }
    for (accept, format) in [("application/pdf", ""), ("text/html;q=0", ""), ("*/*", "?format=pdf")]
    {
        let request = service.request(Method::GET, &format!("{path}{format}"));
        let answer = send(request.header(ACCEPT, accept)).await;
        answer.expect_problem(406, "not-acceptable");
    }
    let named = statement(&service, "w", "format=csv&from=2026-01-31T13:00:00%2B01:00").await;
    let name = "attachment; filename=\"statement-w-from-20260131T120000Z.csv\"";
    assert_eq!(named.expect(200).header("content-disposition"), Some(name));
    service.finish().await;
}

#[tokio::test]
async fn a_spreadsheet_takes_no_text_of_a_client_for_a_formula() {
    let service = Service::start(1).await;
    service.post("/wallets", json!({ "id": "-1-w" })).await.expect(201);
    let formula = "=HYPERLINK(\"http://evil\",\"a, b\")";
    let body = json!({ "amount": "5", "requestId": formula, "metadata": { "note": "=1+1" } });
    service.post("/wallets/w/deposit", body).await.expect(201);
    let body = json!({ "amount": "2.50", "toWalletId": "-1-w", "requestId": "@SUM(A1)" });
    service.post("/wallets/w/transfer", body).await.expect(201);
    let answer = statement(&service, "w", "format=csv").await;
    let text = &answer.expect(200).text;
    assert!(text.ends_with("\r\n") && text.matches("\r\n").count() == 6, "{text}");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let column = |name: &str| {
        let index = header.iter().position(|known| known == name).unwrap();
        rows.iter().map(|row| row[index].to_owned()).collect::<Vec<_>>()
    };
    let kinds = ["opening_balance", "deposit", "transfer_out", "total", "closing_balance"];
    assert_eq!(column("type"), kinds);
    assert_eq!(column("balance"), ["0.00", "5.00", "2.50", "", "2.50"]);
    assert_eq!(column("in"), ["", "5.00", "", "5.00", ""]);
    assert_eq!(column("out"), ["", "", "2.50", "2.50", ""]);
    assert_eq!(column("request_id"), ["", &format!("'{formula}"), "'@SUM(A1)", "", ""]);
    assert_eq!(column("counterparty"), ["", "", "'-1-w", "", ""]);
    assert_eq!(column("metadata")[1], r#"{"note":"=1+1"}"#);
    for cell in rows.iter().flat_map(|row| row.iter()) {
        assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell:?}");
    }
    service.finish().await;
}

#[tokio::test]
async fn a_page_shows_what_clients_wrote_and_obeys_none_of_it() {
    let service = Service::start(1).await;
    let script = "<script>alert(1)</script>";
    let open = json!({ "id": "w", "owner": script });
    service.post("/wallets", open).await.expect(201);
    let image = "\"><img src=x onerror='alert(2)'>";
    let body = json!({ "amount": 5, "requestId": image, "metadata": { "note": "</td><b>&" } });
    service.post("/wallets/w/deposit", body).await.expect(201);
    let page = statement(&service, "w", "format=html").await;
    let text = &page.expect(200).text;
    for tag in ["<script", "<img", "<b>", "javascript:", "onerror='", "http://", "https://", "src="]
    {
        let is_shown = tag == "src=" || tag.starts_with("onerror");
        assert!(is_shown || !text.contains(tag), "{tag} in {text}");
    }
    assert!(text.contains("&#60;script&#62;alert(1)&#60;/script&#62;"), "{text}");
    assert!(text.contains("<!doctype html>") && text.contains("size: A4"), "{text}");
    assert!(text.contains("Closing balance") && text.contains("5.00"), "{text}");
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(!policy.contains("script-src"), "that of the documentation: {policy}");
    service.finish().await;
}

#[tokio::test]
async fn a_statement_that_is_too_long_is_refused_and_says_what_to_do() {
    let service = Service::start(1).await;
    service.post("/wallets/w/deposit", json!({ "amount": 1 })).await.expect(201);
    service.get("/wallets/w/history?minPosition=2").await.expect(200);
    // As if there were one more than may be, each a second after the one before.
    let Store::Postgres(_, urls) = service.store() else { unreachable!() };
    let mut admin = PgConnection::connect(&urls.admin).await.unwrap();
    sqlx::query(
        "INSERT INTO movements (wallet_id, entry, partition, position, type, status, amount, currency,
                                balance_after, reference, recorded_at)
         SELECT m.wallet_id, n, m.partition, m.position, m.type, m.status, 1, m.currency, n,
                m.reference, m.recorded_at + n * interval '1 second'
           FROM movements m, generate_series(2, $1) AS n WHERE m.wallet_id = 'w'",
    )
    .bind(i64::try_from(MAX_STATEMENT + 1).unwrap())
    .execute(&mut admin)
    .await
    .unwrap();
    let long = statement(&service, "w", "").await;
    long.expect_problem(422, "report-too-large").expect_members(json!({
        "entries": MAX_STATEMENT + 1, "maxEntries": MAX_STATEMENT,
    }));
    let last: DateTime<Utc> = sqlx::query_scalar("SELECT max(recorded_at) FROM movements")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    for format in ["json", "csv", "html"] {
        let query = format!("format={format}&to={}", rfc3339(last));
        let full = statement(&service, "w", &query).await;
        assert!(full.expect(200).text.contains("10000.00"), "{format}");
    }
    service.finish().await;
}

#[tokio::test]
async fn a_statement_that_lacks_an_entry_is_not_told() {
    let service = Service::start(1).await;
    for _ in 0..3 {
        service.post("/wallets/w/deposit", json!({ "amount": 1 })).await.expect(201);
    }
    service.get("/wallets/w/history?minPosition=4").await.expect(200);
    let Store::Postgres(_, urls) = service.store() else { unreachable!() };
    let mut admin = PgConnection::connect(&urls.admin).await.unwrap();
    for change in
        ["DELETE FROM movements WHERE entry = 2", "UPDATE movements SET entry = 2 WHERE entry = 3"]
    {
        sqlx::query(change).execute(&mut admin).await.unwrap();
    }
    let answer = statement(&service, "w", "").await;
    answer.expect_problem(409, "statement-incomplete");
    service.finish().await;
}
