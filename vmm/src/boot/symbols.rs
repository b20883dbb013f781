//! The names in an image: where a function is, and which function an address is in.

use object::{Object, ObjectSymbol, SymbolKind};

/// Where a symbol is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Its linear address.
    pub address: u64,
    /// Its size; 0 where the image does not say.
    pub bytes: u64,
}

/// The functions of an image, in ascending order of address.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    table: Vec<(Symbol, Box<str>)>,
}

impl Symbols {
    /// Reads the symbol table of the ELF file `bytes`. An image without one, or with a damaged one,
    /// has no names: the guest runs without them.
    pub fn read(bytes: &[u8]) -> Self {
        let Ok(file) = object::File::parse(bytes) else {
            return Self::default();
        };
        let mut table: Vec<(Symbol, Box<str>)> = file
            .symbols()
            .filter(|symbol| symbol.is_definition() && is_code(symbol.kind()))
            .filter_map(|symbol| {
                let name = symbol.name().ok().filter(|name| !name.is_empty())?;
                let place = Symbol {
                    address: symbol.address(),
                    bytes: symbol.size(),
                };
                Some((place, name.into()))
            })
            .collect();
        // Names of one address stay in the file's order.
        table.sort_by_key(|(symbol, _)| symbol.address);
        Self { table }
    }

    /// Where `name` is.
    pub fn find(&self, name: &str) -> Option<Symbol> {
        let (symbol, _) = self.table.iter().find(|(_, known)| **known == *name)?;
        Some(*symbol)
    }

    /// The function that `address` is in, and how far: of two names the one that has a size, then
    /// the first. Where the image gives no sizes, the nearest below.
    pub fn at(&self, address: u64) -> Option<(&str, u64)> {
        let below = self
            .table
            .partition_point(|(symbol, _)| symbol.address <= address);
        let nearest = self.table.get(below.checked_sub(1)?)?.0.address;
        let same = self
            .table
            .partition_point(|(symbol, _)| symbol.address < nearest);
        let offset = address - nearest;
        let names = &self.table[same..below];
        let (_, name) = names
            .iter()
            .find(|(symbol, _)| offset < symbol.bytes)
            .or_else(|| names.iter().find(|(symbol, _)| symbol.bytes == 0))?;
        Some((name, offset))
    }
}

/// Functions, and the labels of assembly that have no type.
fn is_code(kind: SymbolKind) -> bool {
    matches!(
        kind,
        SymbolKind::Text | SymbolKind::Label | SymbolKind::Unknown
    )
}

#[cfg(test)]
#[path = "symbols_test.rs"]
mod tests;
