//! Migrations are compiled in; Cargo does not see their folder by itself.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
