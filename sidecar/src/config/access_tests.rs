use super::super::settings::ReadFile;
use super::super::stores;
use super::*;

/// Returns what is wrong with `[[access]]` tables of a node with the stores notes and orders.
fn problems(tables: &str) -> Vec<String> {
    resolved(tables).err().unwrap_or_default()
}

fn resolved(tables: &str) -> Result<Option<Arc<Access>>, Vec<String>> {
    let text = format!("[[store]]\nname = 'notes'\n[[store]]\nname = 'orders'\n{tables}");
    let read = ReadFile::parse(&text);
    let faults = read.problems.iter().map(|fault| format!("{}: {}", fault.line, fault.wrong));
    let mut told: Vec<_> = faults.collect();
    let mut problems = vec![];
    let stores = stores::resolve(Default::default(), read.file.store, &mut problems);
    let access = super::resolve(&read.file.access, &stores, &Settings::default(), &mut problems);
    told.extend(problems.iter().map(Problem::to_string));
    if told.is_empty() { Ok(access) } else { Err(told) }
}

fn rule_with(key: &str, value: &str) -> String {
    let keys =
        [("who", "['uid:1000']"), ("may", "['read']"), ("store", "'notes'"), ("prefix", "''")];
    let line = |(name, usual): (&str, &str)| {
        format!("{name} = {}\n", if name == key { value } else { usual })
    };
    format!("[[access]]\n{}", keys.map(line).concat())
}

#[test]
fn a_rule_is_taken_as_it_is_written() {
    let access = resolved(
        "[[access]]\nwho = ['uid:1000', 'spiffe://td/ns/shop/*', 'token:reports']\nstore = 'notes'\nprefix = 'user/'\n\
         may = ['read', 'write']\n[[access]]\nwho = ['anyone']\nmay = ['admin']\n",
    );
    let access = access.unwrap().expect("there are rules");
    let told: Vec<_> = access.rules.all().iter().map(Rule::to_string).collect();
    assert_eq!(
        told,
        [
            "uid:1000, spiffe://td/ns/shop/*, token:reports may read, write: store notes, keys that begin with \"user/\"",
            "anyone may admin: every store",
        ]
    );
    assert!(resolved("").unwrap().is_none());
}

#[test]
fn what_is_wrong_with_a_rule_is_told_with_what_to_do() {
    let table = [
        (rule_with("who", "[]"), "access: `who` names nobody"),
        (rule_with("who", "['uid:root']"), "`uid:root` names nobody: a user is named by number"),
        (rule_with("who", "['spiffe://td*']"), "a `*` stands for any rest at the end of a URI"),
        (rule_with("may", "[]"), "access: `may` has no right: give some of `read`, `write`"),
        (rule_with("may", "['raed']"), "`raed` is not a right: did you mean `read`?"),
        (
            rule_with("may", "['own']"),
            "`own` is not a right: what else there is: `read`, `write`, `watch`",
        ),
        (rule_with("store", "'note'"), "there is no store `note`: give one of notes, orders"),
        (
            rule_with("may", "['read', 'admin']"),
            "`admin` is of a whole store: give it in a rule without `prefix`",
        ),
        (rule_with("may", "['peer']"), "`peer` is of a whole store"),
        (rule_with("who", "'uid:1000'"), "who: it must be a list of texts"),
        ("[[access]]\nmay = ['read']\n".to_owned(), "`who` of a rule of access is missing here"),
        ("[[access]]\nwho = ['anyone']\n".to_owned(), "`may` of a rule of access is missing here"),
        (
            rule_with("who", "['anyone']") + "mya = 1\n",
            "`mya` is not a setting of a rule of access",
        ),
    ];
    for (tables, told) in table.into_iter() {
        let problems = problems(&tables);
        assert!(problems.len() == 1 && problems[0].contains(told), "{told}: {problems:#?}");
    }
    let many = rule_with("who", "['anyone']").repeat(RULES_MAX + 1);
    assert!(problems(&many)[0].contains("at most 256"));
}

#[test]
fn a_token_that_no_file_has_is_a_warning_and_so_is_a_file_that_no_rule_asks_for() {
    let access = resolved(&rule_with("who", "['token:reports', 'token:web', 'anyone']"));
    let access = access.unwrap().expect("there is a rule");
    let without = warnings(Some(&access), None);
    assert_eq!(without.len(), 2, "{without:?}");
    assert!(without[0].contains("no tokens_file") && without[0].contains("`reports`"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "web 0123456789abcdef\n").unwrap();
    let rules = access.rules.clone();
    let access = Access { rules, tokens: Some(Tokens::read(file.path()).unwrap()) };
    let lacking = warnings(Some(&access), Some(file.path()));
    assert!(lacking.len() == 1 && lacking[0].contains("has no token `reports`"), "{lacking:?}");
    let unused = warnings(None, Some(file.path()));
    assert!(unused.len() == 1 && unused[0].contains("no [[access]] table"), "{unused:?}");
    std::fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .unwrap();
    assert!(warnings(None, Some(file.path()))[0].contains("chmod 600"));
}
