//! Every example prints what is written beside it.
use std::path::{Path, PathBuf};
use std::process::Command;

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut sources: Vec<_> = std::fs::read_dir(folder)
        .expect("the examples are there")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter(|path| cfg!(feature = "hyper") || !path.ends_with("fetch.rs"))
        .collect();
    sources.sort();
    sources
}

#[test]
fn examples_print_what_they_should() {
    // Cargo builds the examples with the tests, in the folder above the tests' own.
    let built = std::env::current_exe().expect("it runs");
    let built = built.ancestors().nth(2).expect("it is in deps").join("examples");
    let sources = examples();
    assert_eq!(sources.len(), if cfg!(feature = "hyper") { 5 } else { 4 });
    for source in sources {
        let name = source.file_stem().expect("it has a name");
        let ran = Command::new(built.join(name)).output().unwrap_or_else(|error| {
            panic!("{name:?} does not run ({error}): build it with cargo build --examples")
        });
        assert!(ran.status.success(), "{name:?}: {}", String::from_utf8_lossy(&ran.stderr));
        let expected = std::fs::read_to_string(source.with_extension("txt"))
            .unwrap_or_else(|error| panic!("{name:?} has no expected output: {error}"));
        assert_eq!(String::from_utf8_lossy(&ran.stdout), expected, "{name:?}");
    }
}
