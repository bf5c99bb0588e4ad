//! A random history: wallets of three currencies that deposit, withdraw, transfer (also what comes
//! back, because the target holds another currency), freeze and thaw, many at once.

use florin_application::{Command, Ledger};
use florin_domain::WalletId;
use futures::future::join_all;

use crate::ask::{deposit, freeze, id, open, request, transfer, unfreeze, withdraw};
use crate::feed::random;

const CURRENCIES: [&str; 3] = ["USD", "EUR", "JPY"];

/// Few, so that they meet; enough for every partition.
const WALLETS: u64 = 12;

/// How many commands are under way at once.
const AT_ONCE: usize = 16;

/// Makes a history of so many commands; the wallets that it is about.
pub async fn turmoil(ledger: &Ledger, seed: &mut u64, commands: usize) -> Vec<WalletId> {
    let wallets: Vec<WalletId> = (0..WALLETS).map(|number| id(&format!("w-{number}"))).collect();
    let opening = wallets.iter().zip(CURRENCIES.iter().cycle());
    submit(ledger, opening.map(|(wallet, currency)| open(wallet, currency)).collect()).await;
    let commands: Vec<Command> = (0..commands).map(|_| command(&wallets, seed)).collect();
    for together in commands.chunks(AT_ONCE) {
        submit(ledger, together.to_vec()).await;
    }
    wallets
}

async fn submit(ledger: &Ledger, commands: Vec<Command>) {
    let answers = commands.into_iter().map(|command| ledger.submit(request(command)));
    for answer in join_all(answers).await {
        answer.unwrap();
    }
}

fn command(wallets: &[WalletId], seed: &mut u64) -> Command {
    let mut any = |bound: usize| usize::try_from(random(seed) % bound as u64).unwrap();
    let (from, to) = (&wallets[any(wallets.len())], &wallets[any(wallets.len())]);
    let amount = (1 + any(50)).to_string();
    match any(20) {
        0..8 => deposit(from, &amount),
        8..11 => withdraw(from, &amount),
        11..18 => transfer(from, to, &amount),
        18 => freeze(from),
        _ => unfreeze(from),
    }
}
