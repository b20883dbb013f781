use std::arch::x86_64::__cpuid;
use std::fmt;
use std::path::Path;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// What runs a guest's kernel mode under this KVM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Intel VT-x.
    Vmx,
    /// AMD-V.
    Svm,
    /// PVM: no hardware help, the guest's CPL 0 is emulated.
    Pvm,
    /// None that this program knows.
    Unknown,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Vmx => "vmx",
            Self::Svm => "svm",
            Self::Pvm => "pvm",
            Self::Unknown => "unknown",
        })
    }
}

/// What every result names, so that numbers of different hosts are not mixed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// Kind of KVM.
    pub kind: Kind,
    /// Release of the running kernel, as `uname -r` prints it.
    pub kernel: String,
    /// Brand string of the CPU; empty where the CPU has none.
    pub cpu_model: String,
}

impl Identity {
    /// Looks at the running machine; takes microseconds, opens no device.
    #[must_use]
    pub fn detect() -> Self {
        Self {
            kind: Kind::detect(),
            kernel: read_trimmed("/proc/sys/kernel/osrelease"),
            cpu_model: cpu_model(),
        }
    }
}

impl Kind {
    /// The kind of the loaded KVM module, which is looked for once.
    #[must_use]
    pub fn detect() -> Self {
        static KIND: OnceLock<Kind> = OnceLock::new();
        *KIND.get_or_init(|| {
            choose(&[
                Module::look(Self::Vmx, "kvm_intel", __cpuid(1).ecx & 1 << 5 != 0),
                Module::look(Self::Svm, "kvm_amd", svm_in_cpuid()),
                // Needs nothing of the CPU: it stands behind one that has what it needs.
                Module::look(Self::Pvm, "kvm_pvm", false),
            ])
        })
    }
}

/// A vendor module of KVM; only one can be in charge, several can be present (built in).
#[derive(Debug, Clone, Copy)]
struct Module {
    kind: Kind,
    present: bool,
    /// A VM or an open `/dev/kvm` holds it; never true of a built-in one.
    used: bool,
    /// The CPU has the extension it is made for.
    suits_cpu: bool,
}

impl Module {
    fn look(kind: Kind, name: &str, suits_cpu: bool) -> Self {
        let folder = Path::new("/sys/module").join(name);
        let present = folder.exists();
        let has_users = || {
            let users = std::fs::read_to_string(folder.join("refcnt"));
            users.is_ok_and(|n| n.trim().parse().is_ok_and(|n: u32| n > 0))
        };
        Self {
            kind,
            present,
            used: present && has_users(),
            suits_cpu,
        }
    }
}

fn choose(modules: &[Module]) -> Kind {
    let first = |wanted: fn(&&Module) -> bool| {
        let mut present = modules.iter().filter(|m| m.present);
        present.find(wanted).map(|m| m.kind)
    };
    first(|m| m.used)
        .or_else(|| first(|m| m.suits_cpu))
        .or_else(|| first(|m| m.kind == Kind::Pvm))
        .or_else(|| first(|_| true))
        .unwrap_or(Kind::Unknown)
}

fn svm_in_cpuid() -> bool {
    __cpuid(0x8000_0000).eax >= 0x8000_0001 && __cpuid(0x8000_0001).ecx & 1 << 2 != 0
}

fn cpu_model() -> String {
    if __cpuid(0x8000_0000).eax < 0x8000_0004 {
        return String::new();
    }
    let bytes: Vec<u8> = (0x8000_0002..=0x8000_0004)
        .map(__cpuid)
        .flat_map(|leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx])
        .flat_map(u32::to_le_bytes)
        .take_while(|&byte| byte != 0)
        .collect();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

fn read_trimmed(path: &str) -> String {
    std::fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |s| s.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(kind: Kind) -> Module {
        Module {
            kind,
            present: true,
            used: false,
            suits_cpu: false,
        }
    }

    #[test]
    fn a_module_in_use_wins_over_one_that_suits_the_cpu() {
        let vmx = Module {
            suits_cpu: true,
            ..module(Kind::Vmx)
        };
        let pvm = Module {
            used: true,
            ..module(Kind::Pvm)
        };
        assert_eq!(choose(&[vmx, module(Kind::Svm), pvm]), Kind::Pvm);
    }

    #[test]
    fn of_two_built_in_modules_the_cpu_decides() {
        let svm = Module {
            suits_cpu: true,
            ..module(Kind::Svm)
        };
        assert_eq!(choose(&[module(Kind::Vmx), svm]), Kind::Svm);
    }

    #[test]
    fn pvm_is_the_one_that_needs_nothing_of_the_cpu() {
        let all = [module(Kind::Vmx), module(Kind::Svm), module(Kind::Pvm)];
        assert_eq!(choose(&all), Kind::Pvm);
    }

    #[test]
    fn an_absent_module_is_never_chosen() {
        let absent = Module {
            present: false,
            suits_cpu: true,
            ..module(Kind::Vmx)
        };
        assert_eq!(choose(&[absent]), Kind::Unknown);
        assert_eq!(choose(&[absent, module(Kind::Svm)]), Kind::Svm);
    }

    #[test]
    fn this_machine_has_a_name() {
        let identity = Identity::detect();
        assert!(!identity.kernel.is_empty());
        let json = serde_json::to_value(&identity).unwrap();
        assert_eq!(json["kind"], identity.kind.to_string());
    }
}
