//! Where a machine goes to or is awaited.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// An address of a target: `unix:PATH` or `tcp:HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// TCP.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// The port; 0 lets the kernel choose one to listen on.
        port: u16,
    },
}

/// Where a machine is sent.
pub type Target = Endpoint;
/// Where a machine is awaited.
pub type Listen = Endpoint;

/// Why a text is no address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no address; write unix:PATH or tcp:HOST:PORT, as in tcp:[::1]:4444")]
pub struct EndpointError(String);

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let bad = || EndpointError(text.to_owned());
        match text.split_once(':') {
            // sun_path has 108 bytes, the last of them zero.
            Some(("unix", path)) if (1..108).contains(&path.len()) && !path.contains('\0') => {
                Ok(Self::Unix(path.into()))
            }
            Some(("tcp", address)) => {
                let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
                let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
                let host = bare.unwrap_or(host);
                if host.is_empty() || (bare.is_none() && host.contains(':')) {
                    return Err(bad());
                }
                Ok(Self::Tcp {
                    host: host.to_owned(),
                    port: port.parse().map_err(|_| bad())?,
                })
            }
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_were_written() {
        for text in [
            "unix:/run/vmm.sock",
            "unix:relative:with:colons",
            "tcp:localhost:4444",
            "tcp:10.0.0.1:0",
            "tcp:[::1]:65535",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("unix:{}", "x".repeat(108));
        for text in [
            "",
            "/run/vmm.sock",
            "unix:",
            "unix:a\0b",
            &long,
            "tcp:",
            "tcp:localhost",
            "tcp::4444",
            "tcp:[]:1",
            "tcp:::1:4444",
            "tcp:localhost:65536",
            "tcp:localhost:",
            "udp:localhost:1",
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(error.to_string().contains("unix:PATH"), "{text}");
        }
    }
}
