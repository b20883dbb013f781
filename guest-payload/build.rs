//! Builds the bootable payload where the `image` feature asks for it.
//!
//! The payload is one more compilation of this crate with flags of its own: no SSE, because the
//! kernel part must run where CPL 0 is emulated and emulators know few SSE instructions, and no
//! red zone, because exceptions share its stack. Calling rustc directly keeps that to two commands
//! and out of everybody's RUSTFLAGS.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const FLAGS: &[&str] = &[
    "--edition=2024",
    "--target=x86_64-unknown-linux-gnu",
    "--cfg=guest",
    "-Copt-level=3",
    "-Cpanic=abort",
    "-Cdebuginfo=0",
    "-Ccodegen-units=1",
    "-Crelocation-model=static",
    "-Ctarget-feature=-sse",
    "-Cno-redzone=yes",
    "-Cno-vectorize-loops",
    "-Cno-vectorize-slp",
    "-Clto=fat",
    // Symbols then say which lock a function was made for; tests look for the fast paths.
    "-Csymbol-mangling-version=v0",
];

/// What the workspace's lints say, where cargo runs as clippy. `Cargo.toml` cannot say it here.
const LINTS: &[&str] = &[
    "-Dwarnings",
    "-Wmissing_docs",
    "-Wunreachable_pub",
    "-Wunsafe_op_in_unsafe_fn",
    "-Wclippy::expect_used",
    "-Wclippy::undocumented_unsafe_blocks",
    "-Wclippy::unwrap_used",
];

/// Set by `cargo clippy`: the payload is linted with the rest.
const WRAPPER: &str = "RUSTC_WORKSPACE_WRAPPER";

fn rustc(arguments: &[&str]) -> Result<(), String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = match env::var_os(WRAPPER).filter(|wrapper| !wrapper.is_empty()) {
        Some(clippy) => {
            let mut command = Command::new(clippy);
            command.arg(rustc).args(LINTS);
            command
        }
        None => Command::new(rustc),
    };
    let output = command
        .args(FLAGS)
        .args(arguments)
        .output()
        .map_err(|e| format!("cannot start rustc: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn build_image(out: &Path) -> Result<(), String> {
    let path = |name: &str| out.join(name).to_string_lossy().into_owned();
    let (library, image) = (path("libguest_payload.rlib"), path("guest-payload.elf"));
    let script = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("link.ld");
    rustc(&[
        "--crate-name=guest_payload",
        "--crate-type=rlib",
        "src/lib.rs",
        "-o",
        &library,
    ])?;
    rustc(&[
        "--crate-name=payload",
        "--crate-type=bin",
        "src/main.rs",
        &format!("--extern=guest_payload={library}"),
        "-Clink-arg=-nostartfiles",
        "-Clink-arg=-nostdlib",
        "-Clink-arg=-static",
        "-Clink-arg=-Wl,--build-id=none",
        &format!("-Clink-arg=-Wl,-T,{}", script.display()),
        "-o",
        &image,
    ])
}

fn main() {
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=link.ld");
    println!("cargo::rerun-if-env-changed={WRAPPER}");
    if env::var_os("CARGO_FEATURE_IMAGE").is_none() {
        return;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    if let Err(error) = build_image(&out) {
        for line in error.lines() {
            println!("cargo::error={line}");
        }
    }
}
