//! Where a debugger is awaited.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// `unix:PATH` or `tcp:ADDRESS:PORT`, and `,nowait` where the guest does not wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The socket.
    pub place: Place,
    /// Whether the guest waits for the debugger.
    pub start: Start,
}

/// A socket that only this host reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A Unix socket.
    Unix(PathBuf),
    /// A loopback address; port 0 lets the kernel choose.
    Tcp(SocketAddr),
}

/// What the guest does until a debugger comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It waits before its first instruction.
    Held,
    /// It runs.
    Running,
}

/// Why a text is no address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AddressError {
    /// Not the form.
    #[error("`{0}` is no address; write unix:PATH or tcp:127.0.0.1:PORT, with or without ,nowait")]
    Form(String),
    /// Others could reach it.
    #[error(
        "{0} is no loopback address; whoever reaches the port owns the guest, so it has to be \
         127.0.0.1 or [::1] (from elsewhere: ssh -L)"
    )]
    NotLoopback(IpAddr),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (place, start) = match text.strip_suffix(",nowait") {
            Some(place) => (place, Start::Running),
            None => (text, Start::Held),
        };
        let form = || AddressError::Form(text.to_owned());
        let place = match place.split_once(':') {
            Some(("unix", path)) if !path.is_empty() && !path.contains('\0') => {
                Place::Unix(path.into())
            }
            Some(("tcp", address)) => Place::Tcp(loopback(address).ok_or_else(form)??),
            _ => return Err(form()),
        };
        Ok(Self { place, start })
    }
}

fn loopback(text: &str) -> Option<Result<SocketAddr, AddressError>> {
    let address = match text.strip_prefix("localhost:") {
        Some(port) => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port.parse().ok()?),
        None => text.parse::<SocketAddr>().ok()?,
    };
    Some(if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err(AddressError::NotLoopback(address.ip()))
    })
}

/// As gdb's `target remote` takes it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_where_and_whether_the_guest_waits() {
        let place = |text: &str| text.parse::<Address>().unwrap();
        assert_eq!(place("unix:/run/gdb").place.to_string(), "/run/gdb");
        assert_eq!(place("unix:/run/gdb").start, Start::Held);
        assert_eq!(place("unix:a,b,nowait").place.to_string(), "a,b");
        assert_eq!(place("unix:a,b,nowait").start, Start::Running);
        for (text, shown) in [
            ("tcp:127.0.0.1:1234", "127.0.0.1:1234"),
            ("tcp:127.1.2.3:0", "127.1.2.3:0"),
            ("tcp:localhost:1234,nowait", "127.0.0.1:1234"),
            ("tcp:[::1]:1234", "[::1]:1234"),
        ] {
            assert_eq!(place(text).place.to_string(), shown);
        }
    }

    #[test]
    fn who_is_not_on_this_host_cannot_be_let_in() {
        for text in ["tcp:0.0.0.0:1", "tcp:10.0.0.1:1,nowait", "tcp:[::]:1"] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(matches!(error, AddressError::NotLoopback(_)), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "unix:",
            "unix:,nowait",
            "unix:a\0b",
            "1234",
            "tcp:1234",
            "tcp::1234",
            "tcp:127.0.0.1",
            "tcp:127.0.0.1:65536",
            "tcp:localhost:x",
            "tcp:example.org:1",
            "/run/gdb",
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(matches!(error, AddressError::Form(_)), "{text}");
        }
    }
}
