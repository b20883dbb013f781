//! The hardware's pause-loop exiting, as KVM's modules have it set.

use std::collections::BTreeMap;
use std::path::Path;

/// Where each module's parameters are, how the names of those for PLE begin, and which of them at 0
/// switches it off (KVM itself sets it to 0 where the processor has no PLE).
const MODULES: [(&str, &[&str], &str); 2] = [
    ("kvm_intel", &["ple_"], "ple_gap"),
    ("kvm_amd", &["pause_filter_"], "pause_filter_count"),
];

/// PLE on this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HardwarePle {
    /// The modules' parameters by name.
    pub parameters: BTreeMap<String, String>,
    /// Whether vCPUs that spin exit, unless a VM has switched it off.
    pub acts: bool,
}

impl HardwarePle {
    /// Looks at the modules that are loaded.
    pub fn detect() -> Self {
        Self::read(Path::new("/sys/module"))
    }

    fn read(modules: &Path) -> Self {
        let mut found = Self::default();
        for (module, prefixes, switch) in MODULES {
            let parameters = read_parameters(&modules.join(module).join("parameters"), prefixes);
            let value = parameters.get(switch);
            found.acts |= value.is_some_and(|value| value != "0");
            found.parameters.extend(parameters);
        }
        found
    }

    /// `name=value` of each, sorted.
    pub fn pairs(&self) -> Vec<String> {
        self.parameters
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }
}

fn read_parameters(folder: &Path, prefixes: &[&str]) -> BTreeMap<String, String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return BTreeMap::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let is_ours = prefixes.iter().any(|prefix| name.starts_with(prefix));
            let value = std::fs::read_to_string(entry.path()).ok()?;
            is_ours.then(|| (name, value.trim().to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn modules(test: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("vmm-ple-{test}-{}", std::process::id()));
        for (path, value) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, value).unwrap();
        }
        root
    }

    #[test]
    fn a_host_with_ple_says_how_it_is_set() {
        let root = modules(
            "intel",
            &[
                ("kvm_intel/parameters/ple_window", "4096\n"),
                ("kvm_intel/parameters/ple_gap", "128\n"),
                ("kvm_intel/parameters/ept", "Y\n"),
            ],
        );
        let found = HardwarePle::read(&root);
        fs::remove_dir_all(root).unwrap();
        assert_eq!(found.pairs(), ["ple_gap=128", "ple_window=4096"]);
        assert!(found.acts);
    }

    #[test]
    fn a_host_whose_ple_is_off_has_parameters_all_the_same() {
        let root = modules(
            "amd",
            &[
                ("kvm_amd/parameters/pause_filter_count", "0\n"),
                ("kvm_amd/parameters/pause_filter_thresh", "128\n"),
            ],
        );
        let found = HardwarePle::read(&root);
        fs::remove_dir_all(root).unwrap();
        assert_eq!(found.parameters.len(), 2);
        assert!(!found.acts);
    }

    #[test]
    fn no_module_no_ple() {
        let found = HardwarePle::read(Path::new("/sys/module/no_such"));
        assert_eq!(found, HardwarePle::default());
    }
}
