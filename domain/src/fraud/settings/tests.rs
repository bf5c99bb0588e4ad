use rust_decimal::Decimal;

use super::*;
use crate::fraud::testing::Story;

/// The file as an operator writes it.
fn read(file: &str) -> Result<Settings, String> {
    toml::from_str(file).map_err(|error| error.message().to_owned())
}

#[test]
fn what_the_file_leaves_out_has_its_default() {
    assert_eq!(read(""), Ok(Settings::default()));
    assert_eq!(read("[rules.roundTrip]"), Ok(Settings::default()));
    let rules = read("[rules.frequentWithdrawals]\ncount = 4").unwrap().rules;
    assert_eq!((rules.frequent_withdrawals.count, rules.many_receivers.count), (4, 5));
}

#[test]
fn the_defaults_are_these_and_within_their_bounds() {
    let expected = concat!(
        r#"{"rules":{"#,
        r#""frequentWithdrawals":{"enabled":true,"freeze":false,"count":3,"windowSeconds":60},"#,
        r#""largeOutflow":{"enabled":true,"freeze":false,"amount":{"default":"10000"}},"#,
        r#""rapidDrain":{"enabled":true,"freeze":false,"percent":90,"windowSeconds":600},"#,
        r#""manyReceivers":{"enabled":true,"freeze":false,"count":5,"windowSeconds":60},"#,
        r#""roundTrip":{"enabled":true,"freeze":false,"windowSeconds":600}}}"#,
    );
    assert_eq!(serde_json::to_string(&Settings::default()).unwrap(), expected);
    assert_eq!(Settings::default().rules.check(), Ok(()));
}

#[test]
fn settings_survive_being_written_and_read() {
    let file = r#"
        [rules.largeOutflow]
        amount = { default = "10000.50", JPY = 1500000, BHD = "4000.125" }
        [rules.rapidDrain]
        minimum = 20
    "#;
    let settings = read(file).unwrap();
    let large = &settings.rules.large_outflow.amount;
    for (code, amount) in [("EUR", "10000.50"), ("JPY", "1500000"), ("BHD", "4000.125")] {
        let amount: Decimal = amount.parse().unwrap();
        assert_eq!(large.of(code.parse().unwrap()), amount, "{code}");
    }
    let json = serde_json::to_string(&settings).unwrap();
    assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings);
    assert_eq!(read(&toml::to_string(&settings).unwrap()), Ok(settings));
}

#[test]
fn a_number_out_of_its_bounds_is_named() {
    for (rule, setting, error) in [
        ("frequentWithdrawals", "count = 0", "count must be at least 1"),
        ("frequentWithdrawals", "count = 17", "count must be at most 16"),
        ("frequentWithdrawals", "windowSeconds = 0", "windowSeconds must be at least 1"),
        ("manyReceivers", "count = 0", "count must be at least 1"),
        ("manyReceivers", "windowSeconds = 86401", "windowSeconds must be at most 86400"),
        ("rapidDrain", "percent = 0", "percent must be at least 1"),
        ("rapidDrain", "percent = 101", "percent must be at most 100"),
        ("rapidDrain", "windowSeconds = 0", "windowSeconds must be at least 1"),
        ("roundTrip", "windowSeconds = 86401", "windowSeconds must be at most 86400"),
    ] {
        let refused = read(&format!("[rules.{rule}]\n{setting}"));
        assert_eq!(refused, Err(format!("rules.{rule}.{error}")));
    }
    let longest = "[rules.manyReceivers]\ncount = 16\nwindowSeconds = 86400";
    assert!(read(longest).is_ok());
}

#[test]
fn an_amount_is_positive_exact_and_has_a_default() {
    for (amount, error) in [
        ("0", "an amount is more than zero"),
        ("-1", "an amount is more than zero"),
        ("\"ten\"", "an amount is a plain decimal such as \"12.50\""),
        ("{ JPY = 1 }", "missing field `default`"),
        ("{ default = 1, jpy = 1 }", "`jpy` is neither `default` nor a currency"),
        ("{ default = 1, JPY = 0 }", "an amount is more than zero"),
    ] {
        assert_eq!(read(&format!("[rules.largeOutflow]\namount = {amount}")), Err(error.into()));
    }
    for float in ["0.5", "{ default = 0.5 }"] {
        let refused = read(&format!("[rules.largeOutflow]\namount = {float}")).unwrap_err();
        assert!(refused.contains("expected an amount such as \"10000.00\""), "{refused}");
    }
}

#[test]
fn what_nobody_knows_is_refused() {
    for (file, unknown) in [
        ("[rule]", "rule"),
        ("[rules.roundTrips]", "roundTrips"),
        ("[rules.roundTrip]\nwindow = 1", "window"),
        ("[rules.largeOutflow]\nwindowSeconds = 1", "windowSeconds"),
    ] {
        let refused = read(file).unwrap_err();
        assert!(refused.starts_with(&format!("unknown field `{unknown}`")), "{refused}");
    }
}

#[test]
fn whether_a_rule_freezes_is_its_own_setting() {
    let settings = read("[rules.rapidDrain]\nfreeze = true").unwrap();
    for rule in Rule::ALL {
        assert_eq!(settings.freezes(*rule), *rule == Rule::RapidDrain, "{rule}");
    }
}

#[test]
fn a_rule_that_is_not_enabled_neither_alerts_nor_remembers() {
    let story = Story::with(r#"{"rules":{"largeOutflow":{"enabled":false}}}"#);
    assert_eq!(story.withdraw(0, "10000.00").of(Rule::LargeOutflow), []);
    let mut story = Story::new().withdraw(0, "1.00").withdraw(0, "1.00");
    let on = story.settings.clone();
    story.settings = read("[rules.frequentWithdrawals]\nenabled = false").unwrap();
    story = story.withdraw(0, "1.00");
    story.settings = on;
    assert_eq!(story.withdraw(0, "1.00").of(Rule::FrequentWithdrawals), []);
}

#[test]
fn a_rule_has_one_name_everywhere() {
    for rule in Rule::ALL {
        assert_eq!(serde_json::to_value(rule).unwrap(), rule.as_str());
        assert_eq!(rule.as_str().parse(), Ok(*rule));
        assert!(read(&format!("[rules.{rule}]")).is_ok());
    }
    assert!("sleight".parse::<Rule>().is_err());
}

#[test]
fn the_window_is_the_longest_of_the_enabled_rules() {
    let seconds = |file| read(file).unwrap().window().num_seconds();
    assert_eq!(seconds(""), 600);
    assert_eq!(seconds("[rules.manyReceivers]\nwindowSeconds = 700"), 700);
    let without = "[rules.rapidDrain]\nenabled = false\n[rules.roundTrip]\nenabled = false";
    assert_eq!(seconds(without), 60);
}
