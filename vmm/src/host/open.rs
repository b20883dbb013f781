use std::ffi::CStr;
use std::io;

use kvm_ioctls::Kvm;

use super::HostError;

const API_VERSION: i32 = 12;

/// Opens `/dev/kvm`.
///
/// # Errors
/// One line that says what is missing and what to do about it.
pub fn open_kvm() -> Result<Kvm, HostError> {
    open(c"/dev/kvm")
}

fn open(path: &CStr) -> Result<Kvm, HostError> {
    let kvm = Kvm::new_with_path(path).map_err(|e| {
        let e = io::Error::from_raw_os_error(e.errno());
        match e.kind() {
            io::ErrorKind::NotFound => HostError::Missing,
            io::ErrorKind::PermissionDenied => HostError::Closed,
            // The node is there and no driver answers it.
            _ if matches!(e.raw_os_error(), Some(libc::ENODEV | libc::ENXIO)) => HostError::Missing,
            _ => HostError::Device(e),
        }
    })?;
    match kvm.get_api_version() {
        API_VERSION => Ok(kvm),
        other => Err(HostError::Version(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_device_is_one_line_with_a_cure() {
        let error = open(c"/dev/kvm-that-is-not-there").unwrap_err();
        assert!(matches!(error, HostError::Missing));
        let line = error.to_string();
        assert!(line.starts_with("/dev/kvm does not exist: load"), "{line}");
        assert!(!line.contains('\n') && !line.contains("  "), "{line}");
    }

    #[test]
    fn a_device_that_is_not_kvm_is_refused() {
        assert!(matches!(
            open(c"/dev/null").unwrap_err(),
            HostError::Version(-1)
        ));
    }
}
