//! Misuses that do not compile.

#[test]
fn misuses_are_refused() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
