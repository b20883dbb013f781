use std::error::Error as _;
use std::io;

/// Why the host cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// There is no KVM at all.
    #[error(
        "/dev/kvm does not exist: load the module kvm_intel, kvm_amd or kvm_pvm; \
         inside a virtual machine, turn nested virtualization on"
    )]
    Missing,
    /// KVM is there, and not for this user.
    #[error("/dev/kvm: permission denied: join the group that owns it (`ls -l /dev/kvm`)")]
    Closed,
    /// Opening failed in another way.
    #[error("/dev/kvm cannot be opened")]
    Device(#[source] io::Error),
    /// The device is not the KVM that this program was written for.
    #[error("/dev/kvm speaks API version {0} where 12 is needed: is it KVM's device?")]
    Version(i32),
    /// A step of an experiment failed.
    #[error("{step}")]
    Step {
        /// What was done, as the kernel names it.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// An experiment went another way than any that has an answer.
    #[error("{0}")]
    Unexpected(String),
}

impl HostError {
    /// The error and its cause in one line.
    #[must_use]
    pub fn line(&self) -> String {
        match self.source() {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }
}

/// Names the step that a kernel error belongs to.
pub(crate) trait Step<T> {
    fn step(self, step: &'static str) -> Result<T, HostError>;
}

impl<T> Step<T> for Result<T, kvm_ioctls::Error> {
    fn step(self, step: &'static str) -> Result<T, HostError> {
        self.map_err(|e| io::Error::from_raw_os_error(e.errno()))
            .step(step)
    }
}

impl<T> Step<T> for io::Result<T> {
    fn step(self, step: &'static str) -> Result<T, HostError> {
        self.map_err(|source| HostError::Step { step, source })
    }
}
