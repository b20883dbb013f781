//! Where and with what a run runs.

use std::collections::BTreeMap;
use std::fs;
use std::hint;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;

use super::record::Provenance;
use crate::host::Identity;

/// Revision that this program was built from; see `build.rs`.
const REVISION: &str = env!("VMM_REVISION");
/// Cargo's profile that it was built with: `debug` or `release`.
const PROFILE: &str = env!("VMM_PROFILE");
/// Bytes of a digest that tell hosts and builds apart.
const SHORT: usize = 6;
/// KVM's modules; the vendors' have the parameters of pause-loop exiting.
const MODULES: [&str; 4] = ["kvm", "kvm_intel", "kvm_amd", "kvm_pvm"];
/// How the names of parameters begin that bear on scheduling: Intel's PLE, AMD's, halt polling.
const PARAMETERS: [&str; 3] = ["ple_", "pause_filter_", "halt_poll_ns"];

/// What does not change from run to run.
#[derive(Clone, Debug)]
pub struct Surroundings {
    identity: Identity,
    host: String,
    revision: String,
}

impl Surroundings {
    /// Looks at the host.
    pub fn look() -> Self {
        Self {
            identity: Identity::detect(),
            host: host(Path::new("/")),
            revision: revision(),
        }
    }

    /// With what changes, as it is now. Parameters of modules can be written to at any time, and so
    /// can the CPUs that a process may use.
    pub fn now(&self) -> Provenance {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Provenance {
            host: self.host.clone(),
            host_kind: self.identity.kind,
            kernel: self.identity.kernel.clone(),
            cpu_model: self.identity.cpu_model.clone(),
            host_cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
            kvm_parameters: kvm_parameters(Path::new("/sys/module")),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: self.revision.clone(),
            profile: PROFILE.to_owned(),
            pause_ns: pause_ns(),
            load_1min: load_1min(),
        }
    }
}

/// What this program was built from. Two builds of a tree that is no revision can differ in
/// anything: there it names the executable too, as in `0123456789ab-dirty+cdef01234567`.
pub fn revision() -> String {
    static ONCE: OnceLock<String> = OnceLock::new();
    let revision = ONCE.get_or_init(|| match is_exact(REVISION) {
        true => REVISION.to_owned(),
        false => with_executable(REVISION, Path::new("/proc/self/exe")),
    });
    revision.clone()
}

/// Whether all builds of `revision` are the same program.
fn is_exact(revision: &str) -> bool {
    revision != "unknown" && !revision.ends_with("-dirty")
}

fn with_executable(revision: &str, executable: &Path) -> String {
    match fs::read(executable) {
        Ok(bytes) => format!("{revision}+{}", short_digest(&bytes)),
        Err(_) => revision.to_owned(),
    }
}

/// Tells one host from another without naming it: a digest of its machine ID or, where it has none,
/// of its name. Empty where it has neither.
fn host(root: &Path) -> String {
    let places = ["etc/machine-id", "proc/sys/kernel/hostname"];
    let texts = places.map(|place| fs::read_to_string(root.join(place)).unwrap_or_default());
    let text = texts.iter().map(|text| text.trim());
    let mut named = text.filter(|text| !text.is_empty());
    // systemd asks not to show the ID itself, and to mix in what it is used for.
    let digest = |text| short_digest(format!("vmm.experiment host {text}").as_bytes());
    named.next().map(digest).unwrap_or_default()
}

/// The first bytes of the SHA-256, in hexadecimal.
fn short_digest(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let bytes = digest.as_ref().iter().take(SHORT);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// KVM's parameters below `modules`, as in `kvm_intel.ple_gap`. What cannot be read is left out.
fn kvm_parameters(modules: &Path) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    for module in MODULES {
        let Ok(folder) = fs::read_dir(modules.join(module).join("parameters")) else {
            continue;
        };
        for entry in folder.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if PARAMETERS.iter().any(|start| name.starts_with(start))
                && let Ok(value) = fs::read_to_string(entry.path())
            {
                parameters.insert(format!("{module}.{name}"), value.trim().to_owned());
            }
        }
    }
    parameters
}

/// How long a PAUSE takes: the best of some rounds, as nothing makes it faster than it is.
fn pause_ns() -> f64 {
    const ROUNDS: u32 = 5;
    const PAUSES: u32 = 1000;
    let round = |_| {
        let start = Instant::now();
        for _ in 0..PAUSES {
            hint::spin_loop();
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(PAUSES)
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

/// Load average over a minute; 0 where /proc does not tell.
fn load_1min() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split_whitespace().next();
    first.and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_takes_time() {
        let pause = pause_ns();
        assert!(pause > 0.0 && pause.is_finite(), "{pause}");
    }

    fn folder(name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("vmm-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn a_host_has_a_digest_of_its_id_or_else_of_its_name() {
        let name = ("proc/sys/kernel/hostname", "here\n");
        let both = folder("both", &[("etc/machine-id", "0123\n"), name]);
        let other = folder("other", &[("etc/machine-id", "0124\n"), name]);
        // An image that was never started has an empty one.
        let named = folder("named", &[("etc/machine-id", "\n"), name]);
        let digests = [&both, &other, &named].map(|root| host(root));
        for digest in &digests {
            assert_eq!(digest.len(), 2 * SHORT);
            assert!(digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
        assert!(digests[0] != digests[1] && digests[0] != digests[2]);
        assert_eq!(host(&both), digests[0]);
        for folder in [both, other, named] {
            fs::remove_dir_all(folder).unwrap();
        }
        assert_eq!(host(Path::new("/nowhere")), "");
    }

    #[test]
    fn builds_of_what_is_no_revision_are_told_apart() {
        for (revision, exact) in [
            ("0123456789ab", true),
            ("0123456789ab-dirty", false),
            ("unknown", false),
        ] {
            assert_eq!(is_exact(revision), exact, "{revision}");
        }
        let builds = folder("builds", &[("one", "1"), ("two", "2")]);
        let named = |build: &str| with_executable("unknown", &builds.join(build));
        assert!(named("one").starts_with("unknown+"));
        assert_ne!(named("one"), named("two"));
        assert_eq!(named("three"), "unknown");
        fs::remove_dir_all(builds).unwrap();
    }

    #[test]
    fn parameters_are_those_of_the_moment() {
        let before = [("module/kvm/parameters/halt_poll_ns", "0")];
        let modules = folder("moment", &before).join("module");
        assert_eq!(kvm_parameters(&modules)["kvm.halt_poll_ns"], "0");
        fs::write(modules.join("kvm/parameters/halt_poll_ns"), "200000").unwrap();
        assert_eq!(kvm_parameters(&modules)["kvm.halt_poll_ns"], "200000");
        fs::remove_dir_all(modules.parent().unwrap()).unwrap();
    }

    #[test]
    fn only_parameters_that_bear_on_scheduling_are_kept() {
        let modules = std::env::temp_dir().join(format!("vmm-modules-{}", std::process::id()));
        for (module, name, value) in [
            ("kvm", "halt_poll_ns_grow", "2\n"),
            ("kvm", "tdp_mmu", "Y\n"),
            ("kvm_intel", "ple_gap", "128\n"),
            ("kvm_amd", "pause_filter_count", "3000\n"),
        ] {
            let folder = modules.join(module).join("parameters");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), value).unwrap();
        }
        let expected = [
            ("kvm.halt_poll_ns_grow", "2"),
            ("kvm_amd.pause_filter_count", "3000"),
            ("kvm_intel.ple_gap", "128"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(kvm_parameters(&modules), BTreeMap::from(expected));
        fs::remove_dir_all(modules).unwrap();
    }
}
