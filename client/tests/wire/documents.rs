//! What the crate's README shows is a program that compiles.

#[test]
fn the_readme_shows_the_first_example() {
    let readme = include_str!("../../README.md");
    let shown = readme.split("```rust,no_run\n").nth(1).expect("it shows code");
    let shown = shown.split("```").next().expect("split yields a first part");
    let example = include_str!("../../examples/first.rs");
    let (_about, code) = example.split_once("\n\n").expect("a comment, then code");
    assert_eq!(code, shown);
}
