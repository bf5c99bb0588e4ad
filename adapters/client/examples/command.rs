//! Pays an order from one wallet to another, exactly once, and reads what is left.
//!
//! `FLORIN_URL` `FLORIN_TOKEN?`; takes the number of the order.

use std::env::{args, var};
use std::error::Error;

use florin_client::{Florin, Key, Money};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut florin = Florin::new(&var("FLORIN_URL")?)?;
    if let Ok(token) = var("FLORIN_TOKEN") {
        florin = florin.with_token(&token);
    }
    let order = args().nth(1).unwrap_or_else(|| "4711".to_owned());
    // What is paid has one key, whoever sends it and however often: so it is paid once.
    let key: Key = format!("order-{order}").parse()?;
    let (alice, shop) = ("alice".parse()?, "shop".parse()?);
    match florin.transfer(&alice, &shop, &Money::of("12.50".parse()?), &key).await {
        Ok(paid) => {
            // As of that transfer at least, whichever process answers.
            let wallet = florin.wallet(&alice, &paid.positions).await?.value;
            let again = if paid.replayed { " before" } else { "" };
            println!("paid{again}; {} {} are left", wallet.balance, wallet.currency);
        }
        Err(error) if error.is("insufficient-funds") => println!("not paid: {error}"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
