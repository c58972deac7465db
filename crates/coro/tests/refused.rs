//! Misuses that do not compile.
#![cfg(not(miri))] // It starts other processes.

#[test]
fn misuses_are_refused() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
