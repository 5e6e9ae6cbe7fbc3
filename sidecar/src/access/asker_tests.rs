//! Every call, with every right, for keys within, at and outside of what is allowed: the calls are the contract's own.

use super::super::{Rule, Who};
use super::*;

const STORE: &str = "notes";
const OTHER: &str = "orders";
const PREFIX: &str = "user/";

fn rule(who: &str, store: Option<&str>, prefix: &str, may: &[Right]) -> Rule {
    let who = vec![Who::parse(who).expect(who)];
    Rule { who, store: store.map(str::to_owned), prefix: prefix.to_owned(), may: may.to_vec() }
}

fn access(rules: Vec<Rule>) -> Arc<Access> {
    Arc::new(Access { rules: Rules::new(rules).expect("rules"), tokens: None })
}

fn user(access: &Arc<Access>, rpc: Rpc, uid: u32) -> Result<Asker, Denied> {
    access.admit(rpc, &Caller::user(uid), None)
}

/// What each kind of keys is, and whether it lies within `PREFIX`.
fn keys() -> [(Keys<'static>, bool); 10] {
    let range = |start: &'static str, end: Option<&'static str>| Keys::Range {
        start: start.as_bytes(),
        end: end.map(str::as_bytes),
    };
    [
        (Keys::All, false),
        (Keys::One(b"user/1"), true),
        (Keys::One(b"user/"), true),
        (Keys::One(b"user"), false),
        (Keys::One(b"order/1"), false),
        (range("user/", Some("user0")), true),
        (range("user/a", Some("user/b")), true),
        (range("user/a", None), false),
        (range("order/", Some("user0")), false),
        (range("", None), false),
    ]
}

#[test]
fn every_call_is_allowed_by_its_own_right_alone_and_within_its_prefix_alone() {
    let mut cases = 0;
    for rpc in Rpc::ALL {
        for right in Right::ALL {
            let prefixes = if right.is_of_keys() { &["", PREFIX][..] } else { &[""] };
            for prefix in prefixes {
                let access = access(vec![rule("uid:7", Some(STORE), prefix, &[right])]);
                let asker = user(&access, rpc, 7).expect("a rule knows it");
                for (keys, within) in keys() {
                    let expected = match needs(rpc) {
                        Needs::Any => right != Right::Peer,
                        Needs::Right(needed) => needed == right && (prefix.is_empty() || within),
                    };
                    let case = format!("{rpc:?} with {right} for {prefix:?}: {keys:?}");
                    assert_eq!(asker.check(rpc, STORE, keys).is_ok(), expected, "{case}");
                    assert!(asker.check(rpc, OTHER, keys).is_err(), "another store, {case}");
                    cases += 1;
                }
                assert!(user(&access, rpc, 8).is_err(), "another user, {rpc:?}");
            }
        }
    }
    assert_eq!(cases, Rpc::ALL.len() * 8 * keys().len());
}

#[test]
fn a_rule_without_a_store_is_of_every_store_and_of_anyone_of_everybody() {
    let access = access(vec![rule("anyone", None, "", &Right::ALL)]);
    for rpc in Rpc::ALL {
        let asker = access.admit(rpc, &Caller::default(), None).expect("anyone");
        for store in [STORE, OTHER] {
            assert_eq!(asker.check(rpc, store, Keys::All), Ok(()), "{rpc:?}");
        }
    }
}

#[test]
fn two_prefixes_side_by_side_are_no_range_of_both() {
    let rules = ["a", "b"].map(|prefix| rule("uid:7", None, prefix, &[Right::Read]));
    let access = access(rules.to_vec());
    let asker = user(&access, Rpc::Scan, 7).expect("a rule knows it");
    let over_both = Keys::Range { start: b"a", end: Some(b"c") };
    let refused = asker.check(Rpc::Scan, STORE, over_both).expect_err("no rule has both");
    assert_eq!(refused.prefixes, ["a", "b"]);
    let told = refused.to_string();
    for fact in ["uid:7", "`read`", "notes", r#""a" or "b""#] {
        assert!(told.contains(fact), "{fact}: {told}");
    }
}

#[test]
fn what_is_told_names_the_caller_the_right_and_the_store_and_has_a_bound() {
    let prefixes = ('a'..='z').map(|letter| letter.to_string().repeat(1_000));
    let rules = prefixes.map(|prefix| rule("uid:7", Some(STORE), &prefix, &[Right::Read]));
    let access = access(rules.collect());
    let asker = user(&access, Rpc::Put, 7).expect("a rule knows it");
    let many = asker.check(Rpc::Get, STORE, Keys::One(b"")).expect_err("outside").to_string();
    assert!(many.len() < 400 && many.contains("or others"), "{many}");
    let none = asker.check(Rpc::Put, STORE, Keys::One(b"a")).expect_err("no right").to_string();
    assert_eq!(none, "uid:7 has not the right `write` on store notes");
    let nothing = asker.check(Rpc::Status, OTHER, Keys::All).expect_err("no right").to_string();
    assert_eq!(nothing, "uid:7 may do nothing with store orders");
}

#[test]
fn a_name_of_the_certificate_is_one_of_the_callers_names() {
    let access = access(vec![
        rule("spiffe://td/ns/shop/*", None, "", &[Right::Read]),
        rule("dns:orders.example", None, "", &[Right::Write]),
    ]);
    let may = |names: &[CertificateName]| {
        let caller = Caller { names: names.into(), ..Caller::default() };
        let asker = access.admit(Rpc::Get, &caller, None);
        let may = |rpc| asker.as_ref().is_ok_and(|it| it.check(rpc, STORE, Keys::All).is_ok());
        (may(Rpc::Scan), may(Rpc::Put))
    };
    let uri = |uri: &str| CertificateName::Uri(uri.to_owned());
    let dns = |name: &str| CertificateName::Dns(name.to_owned());
    assert_eq!(may(&[uri("spiffe://td/ns/shop/web")]), (true, false));
    assert_eq!(may(&[uri("spiffe://td/ns/shop/web"), dns("orders.example")]), (true, true));
    assert_eq!(may(&[uri("spiffe://td/ns/shopping/web")]), (false, false));
    assert_eq!(may(&[dns("www.orders.example"), uri("dns:orders.example")]), (false, false));
}

#[test]
fn a_token_that_nobody_has_is_refused_even_of_somebody_who_is_known() {
    let access = access(vec![rule("anyone", None, "", &[Right::Read])]);
    for said in ["Bearer 0123456789abcdef", "Basic abc", ""] {
        let refused = access.admit(Rpc::Get, &Caller::user(7), Some(said.as_bytes()));
        assert_eq!(refused.map(|_| ()), Err(Denied::UnknownToken), "{said}");
    }
}
