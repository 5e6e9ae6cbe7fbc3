use super::*;

const ONE: &str = "one-0123456789abcdef";
const TWO: &str = "two-0123456789abcdef";

fn bearer(token: &str) -> Vec<u8> {
    format!("Bearer {token}").into_bytes()
}

/// Looks until nothing changes any more; returns what was found last.
fn looked_twice(tokens: &Tokens) -> Look {
    match tokens.look() {
        Look::Changing => tokens.look(),
        found => found,
    }
}

struct File(tempfile::NamedTempFile);

impl File {
    fn new(text: &str) -> File {
        let file = File(tempfile::NamedTempFile::new().unwrap());
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        fs::write(self.0.path(), text).unwrap();
    }

    fn tokens(&self) -> Tokens {
        Tokens::read(self.0.path()).unwrap()
    }
}

#[test]
fn a_token_is_found_by_all_of_it_and_by_nothing_else() {
    let tokens = File::new(&format!("# callers\n\none {ONE}\n  two\t{TWO}  \n")).tokens();
    assert_eq!(tokens.of(&bearer(ONE)).unwrap().name(), "one");
    assert_eq!(tokens.of(format!("bearer {TWO}").as_bytes()).unwrap().name(), "two");
    for other in [ONE, "Bearer", "Bearer ", "Basic one-0123456789abcdef", "Bearer one", ""] {
        assert!(tokens.of(other.as_bytes()).is_none(), "{other}");
    }
    assert!(tokens.of(&bearer(&ONE[..ONE.len() - 1])).is_none());
    assert!(tokens.of(&bearer(&format!("{ONE}0"))).is_none());
    assert_eq!((tokens.len(), tokens.name("one"), tokens.name("none")), (2, true, false));
    assert!(!format!("{tokens:?}").contains("0123456789abcdef"));
}

#[test]
fn a_file_that_cannot_be_meant_so_is_refused_by_its_line() {
    let table = [
        (String::new(), "has no line"),
        (format!("one {ONE}"), "line 1 does not end"),
        (format!("# a\none {ONE}\ntwo {}", &TWO[..17]), "line 3 does not end"),
        ("one\n".to_owned(), "line 1: it is to be NAME TOKEN"),
        (format!("one {ONE} two\n"), "line 1: it is to be NAME TOKEN"),
        (format!("o/e {ONE}\n"), "line 1: a name has"),
        ("one short\n".to_owned(), "line 1: a token has 16"),
        (format!("one {}\n", "x".repeat(1_025)), "line 1: a token has 16"),
        (format!("one {ONE}\u{e4}\n"), "line 1: a token has 16"),
        (format!("one {ONE}\none {TWO}\n"), "line 2: `one` was named before"),
        (format!("one {ONE}\ntwo {ONE}\n"), "line 2: the token of `two` is another's"),
    ];
    for (text, told) in table {
        let error = parse(text.as_bytes()).expect_err(told).to_string();
        assert!(error.contains(told) && !error.contains("0123"), "{error}");
    }
    let many: String =
        (0..=TOKENS_MAX).map(|number| format!("n{number} {ONE}{number}\n")).collect();
    assert!(matches!(parse(many.as_bytes()), Err(TokensError::TooMany)));
    assert!(parse(b"# none\n").unwrap().is_empty());
    let endless = Tokens::read(Path::new("/dev/zero"));
    assert!(matches!(endless, Err(TokensError::TooLarge)));
    let missing = Tokens::read(Path::new("/nonexistent/tokens"));
    assert!(matches!(missing, Err(TokensError::Unreadable(_))));
}

#[test]
fn what_is_taken_away_ends_what_came_with_it_and_nothing_else() {
    let file = File::new(&format!("one {ONE}\ntwo {TWO}\n"));
    let tokens = file.tokens();
    let [one, two] = [ONE, TWO].map(|token| tokens.of(&bearer(token)).unwrap());
    file.write(&format!("# one has left\ntwo {TWO}\nthree three-0123456789abcdef\n"));
    assert!(matches!(tokens.look(), Look::Changing), "it may be half written");
    assert!(tokens.of(&bearer(ONE)).is_some());
    match tokens.look() {
        Look::Changed { tokens: 2, revoked } => assert_eq!(revoked, ["one".into()]),
        other => panic!("{other:?}"),
    }
    assert!(tokens.of(&bearer(ONE)).is_none() && tokens.name("three"));
    assert!(one.revoked().is_cancelled() && !two.revoked().is_cancelled());
    assert!(matches!(tokens.look(), Look::Same));
    file.write(&format!("two {ONE}\n"));
    looked_twice(&tokens);
    assert!(two.revoked().is_cancelled(), "another token of the same name");
    assert_eq!(tokens.of(&bearer(ONE)).unwrap().name(), "two");
}

#[test]
fn a_bad_file_keeps_what_was_good_and_is_told_once() {
    let good = format!("one {ONE}\n");
    let file = File::new(&good);
    let tokens = file.tokens();
    let one = tokens.of(&bearer(ONE)).unwrap();
    for bad in [String::new(), format!("one {}", &ONE[..18]), format!("one {ONE}\ntwo")] {
        file.write(&bad);
        assert!(matches!(looked_twice(&tokens), Look::Unfit { first: true, .. }), "{bad:?}");
        assert!(matches!(tokens.look(), Look::Unfit { first: false, .. }), "{bad:?}");
        assert!(tokens.of(&bearer(ONE)).is_some() && !one.revoked().is_cancelled());
        file.write(&good);
        assert!(matches!(tokens.look(), Look::Same));
    }
    fs::remove_file(file.0.path()).unwrap();
    assert!(matches!(tokens.look(), Look::Unfit { first: true, .. }));
    assert!(matches!(tokens.look(), Look::Unfit { first: false, .. }));
    assert!(tokens.of(&bearer(ONE)).is_some());
    file.write(&format!("two {TWO}\n"));
    assert!(matches!(looked_twice(&tokens), Look::Changed { tokens: 1, .. }));
}
