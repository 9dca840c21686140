//! H10: the book. Its guides are run block by block, its reference is made from the database and the program, and it is built.

mod built;
mod pages;
mod reference;

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
