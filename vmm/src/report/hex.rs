//! Numbers that people read in hexadecimal: addresses, registers, bytes of code.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An address or a register. `"0x…"` in JSON, where a number above 2^53 does not survive every
/// reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hex(pub u64);

impl From<u64> for Hex {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.strip_prefix("0x")
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .map(Self)
            .ok_or_else(|| de::Error::custom(format!("`{text}` is not 0x and hex digits")))
    }
}

/// Bytes as in a hex dump. `"0f 01 c1"` in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HexBytes(pub Vec<u8>);

impl fmt::Display for HexBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(f, "{gap}{byte:02x}")?;
        }
        Ok(())
    }
}

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .split_ascii_whitespace()
            .map(|byte| u8::from_str_radix(byte, 16))
            .collect::<Result<_, _>>()
            .map(Self)
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_survives_json() {
        let json = serde_json::to_string(&Hex(u64::MAX)).unwrap();
        assert_eq!(json, "\"0xffffffffffffffff\"");
        assert_eq!(serde_json::from_str::<Hex>(&json).unwrap(), Hex(u64::MAX));
        assert!(serde_json::from_str::<Hex>("\"12\"").is_err());
        let bytes = HexBytes(vec![0x0f, 0x01, 0xc1]);
        let json = serde_json::to_string(&bytes).unwrap();
        assert_eq!(json, "\"0f 01 c1\"");
        assert_eq!(serde_json::from_str::<HexBytes>(&json).unwrap(), bytes);
    }
}
