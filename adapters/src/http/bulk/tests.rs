use super::*;

fn count(text: &str) -> Result<usize, Code> {
    let text: &RawValue = serde_json::from_str(text).unwrap();
    commands(Some(text)).map(|commands| commands.len()).map_err(|problem| problem.code)
}

#[test]
fn a_bulk_has_one_to_a_thousand_commands() {
    let list = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
    for good in [1, 2, MAX_COMMANDS] {
        assert_eq!(count(&list(good)), Ok(good));
    }
    for bad in [list(0), list(MAX_COMMANDS + 1), list(100_000), "{}".into(), "7".into()] {
        assert_eq!(count(&bad), Err(Code::InvalidBulk));
    }
    assert_eq!(commands(None).unwrap_err().code, Code::InvalidBulk);
}

#[test]
fn an_answer_is_as_of_the_furthest_position_of_each_partition() {
    let mut positions = BTreeMap::new();
    for (partition, position) in [(1, 7), (0, 3), (1, 5)] {
        let state = florin_application::command::WalletState {
            wallet_id: "w".parse().unwrap(),
            account: florin_domain::wallet::Account {
                currency: florin_domain::Currency::USD,
                balance: 0.into(),
                status: florin_domain::wallet::Status::Active,
                owner: None,
            },
            version: 1,
            partition,
            position,
            opened_at: chrono::DateTime::UNIX_EPOCH,
            updated_at: chrono::DateTime::UNIX_EPOCH,
        };
        reach(&mut positions, &Receipt::Wallet(state));
    }
    assert_eq!(positions, [(0, 3), (1, 7)].into());
}
