//! Puts the built web console into the program: a table of its files, each as it is and compressed. Needs nothing but what is committed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;

/// The built console, beside this file.
const BUNDLE: &str = "console/dist";

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={BUNDLE}");
    let variable = |name: &str| env::var_os(name).map(PathBuf::from).unwrap_or_default();
    let (bundle, out) = (variable("CARGO_MANIFEST_DIR").join(BUNDLE), variable("OUT_DIR"));
    let mut files = Vec::new();
    find(&bundle, &mut files)?;
    files.sort();
    let mut table = String::from("&[\n");
    for (number, file) in files.iter().enumerate() {
        let compressed = format!("console-{number}.gz");
        let mut encoder = GzEncoder::new(fs::File::create(out.join(&compressed))?, Compression::best());
        encoder.write_all(&fs::read(file)?)?;
        encoder.finish()?;
        let name = file.strip_prefix(&bundle).unwrap_or(file).to_string_lossy().replace('\\', "/");
        // Paths are put together where the table is compiled: a tree that was moved with what was built of it is still right.
        let plain = format!("include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/{BUNDLE}/{name}\"))");
        let gzip = format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{compressed}\"))");
        table += &format!("    Asset {{ path: {name:?}, plain: {plain}, gzip: {gzip} }},\n");
    }
    table += "]\n";
    fs::write(out.join("console.rs"), table)
}

/// Every file below a folder. A tree without the console has none.
fn find(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => find(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}
