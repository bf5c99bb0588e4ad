use axum::body::Body;

use super::*;
use crate::auth::Scopes;

fn limits(reads: u32, writes: u32) -> Limits {
    let rate = |n: u32| Rate { per_second: n.try_into().unwrap(), burst: n.try_into().unwrap() };
    Limits::new(rate(reads), rate(writes))
}

fn request(method: Method, address: &str) -> Request {
    let address = ClientAddress(address.parse().unwrap());
    Request::builder().method(method).extension(address).body(Body::empty()).unwrap()
}

fn caller(subject: Option<&str>) -> Caller {
    let subject = subject.map(|subject| subject.parse().unwrap());
    Caller { subject, scopes: Scopes::default() }
}

/// The account of a read.
fn account(limits: &Limits, address: &str, subject: Option<&str>) -> u64 {
    let caller = subject.map(|subject| caller(Some(subject)));
    limits.account(&request(Method::GET, address), caller.as_ref()).caller
}

#[test]
fn who_has_a_name_has_an_account_and_all_others_of_an_address_have_one_together() {
    let limits = limits(1, 1);
    let account = |address, subject| account(&limits, address, subject);
    let (here, there) = ("192.0.2.1", "192.0.2.2");
    assert_eq!(account(here, Some("alice")), account(there, Some("alice")));
    assert_ne!(account(here, Some("alice")), account(here, Some("bob")));
    assert_eq!(account(here, None), account(here, None));
    assert_ne!(account(here, None), account(there, None));
    assert_ne!(account(here, None), account(there, Some(here)), "a name is no address");
    let nameless = limits.account(&request(Method::GET, here), Some(&caller(None)));
    assert_eq!(nameless.caller, account(here, None));
}

#[test]
fn a_network_of_ipv6_is_one_caller() {
    let limits = limits(1, 1);
    let account = |address| account(&limits, address, None);
    assert_eq!(account("2001:db8:1:2::1"), account("2001:db8:1:2:ffff:ffff:ffff:ffff"));
    assert_ne!(account("2001:db8:1:2::1"), account("2001:db8:1:3::1"));
}

#[test]
fn reads_and_writes_are_counted_apart() {
    let limits = limits(2, 1);
    let spend = |method| {
        let left = limits.account(&request(method, "192.0.2.1"), None).spend();
        left.refused().is_none()
    };
    assert!(spend(Method::GET) && spend(Method::HEAD) && !spend(Method::GET));
    assert!(spend(Method::POST) && !spend(Method::POST) && !spend(Method::DELETE));
}
