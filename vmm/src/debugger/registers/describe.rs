//! The target description: names and types of the registers in gdb's XML.
//!
//! Features, names and types are those that gdb looks for ("i386 Features" in gdb's manual). What
//! gdb has no feature for is in one of our own.

use std::fmt::Write as _;
use std::sync::LazyLock;

use super::{Control, Register};

/// Types that the descriptions below use.
const CORE_TYPES: &str = concat!(
    r#"<flags id="i386_eflags" size="4">"#,
    r#"<field name="" start="22" end="31"/><field name="ID" start="21" end="21"/>"#,
    r#"<field name="VIP" start="20" end="20"/><field name="VIF" start="19" end="19"/>"#,
    r#"<field name="AC" start="18" end="18"/><field name="VM" start="17" end="17"/>"#,
    r#"<field name="RF" start="16" end="16"/><field name="NT" start="14" end="14"/>"#,
    r#"<field name="OF" start="11" end="11"/><field name="DF" start="10" end="10"/>"#,
    r#"<field name="IF" start="9" end="9"/><field name="TF" start="8" end="8"/>"#,
    r#"<field name="SF" start="7" end="7"/><field name="ZF" start="6" end="6"/>"#,
    r#"<field name="AF" start="4" end="4"/><field name="PF" start="2" end="2"/>"#,
    r#"<field name="" start="1" end="1"/><field name="CF" start="0" end="0"/></flags>"#,
);

const SSE_TYPES: &str = concat!(
    r#"<vector id="v4f" type="ieee_single" count="4"/>"#,
    r#"<vector id="v2d" type="ieee_double" count="2"/>"#,
    r#"<vector id="v16i8" type="int8" count="16"/>"#,
    r#"<vector id="v8i16" type="int16" count="8"/>"#,
    r#"<vector id="v4i32" type="int32" count="4"/>"#,
    r#"<vector id="v2i64" type="int64" count="2"/>"#,
    r#"<union id="vec128">"#,
    r#"<field name="v4_float" type="v4f"/><field name="v2_double" type="v2d"/>"#,
    r#"<field name="v16_int8" type="v16i8"/><field name="v8_int16" type="v8i16"/>"#,
    r#"<field name="v4_int32" type="v4i32"/><field name="v2_int64" type="v2i64"/>"#,
    r#"<field name="uint128" type="uint128"/></union>"#,
    r#"<flags id="i386_mxcsr" size="4">"#,
    r#"<field name="IE" start="0" end="0"/><field name="DE" start="1" end="1"/>"#,
    r#"<field name="ZE" start="2" end="2"/><field name="OE" start="3" end="3"/>"#,
    r#"<field name="UE" start="4" end="4"/><field name="PE" start="5" end="5"/>"#,
    r#"<field name="DAZ" start="6" end="6"/><field name="IM" start="7" end="7"/>"#,
    r#"<field name="DM" start="8" end="8"/><field name="ZM" start="9" end="9"/>"#,
    r#"<field name="OM" start="10" end="10"/><field name="UM" start="11" end="11"/>"#,
    r#"<field name="PM" start="12" end="12"/><field name="FZ" start="15" end="15"/></flags>"#,
);

const GENERAL: [&str; 16] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];
const SELECTORS: [&str; 6] = ["cs", "ss", "ds", "es", "fs", "gs"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Feature {
    Core,
    Sse,
    Segments,
    System,
}

impl Feature {
    fn name(self) -> &'static str {
        match self {
            Self::Core => "org.gnu.gdb.i386.core",
            Self::Sse => "org.gnu.gdb.i386.sse",
            Self::Segments => "org.gnu.gdb.i386.segments",
            Self::System => "vmm.x86.system",
        }
    }

    fn types(self) -> &'static str {
        match self {
            Self::Core => CORE_TYPES,
            Self::Sse => SSE_TYPES,
            Self::Segments | Self::System => "",
        }
    }
}

impl Register {
    fn feature(self) -> Feature {
        match self {
            Self::Xmm(_) | Self::Mxcsr => Feature::Sse,
            Self::FsBase | Self::GsBase => Feature::Segments,
            Self::KernelGsBase | Self::Control(_) | Self::Efer => Feature::System,
            _ => Feature::Core,
        }
    }

    fn gdb_type(self) -> &'static str {
        match self {
            // RBP and RSP.
            Self::General(6 | 7) => "data_ptr",
            Self::Rip => "code_ptr",
            Self::Eflags => "i386_eflags",
            Self::Selector(_) => "int32",
            Self::St(_) => "i387_ext",
            Self::X87(_) | Self::FsBase | Self::GsBase => "int",
            Self::Xmm(_) => "vec128",
            Self::Mxcsr => "i386_mxcsr",
            _ => "int64",
        }
    }

    /// gdb's name.
    pub(super) fn name(self) -> String {
        match self {
            Self::General(n) => GENERAL[n].to_owned(),
            Self::Rip => "rip".to_owned(),
            Self::Eflags => "eflags".to_owned(),
            Self::Selector(n) => SELECTORS[n].to_owned(),
            Self::St(n) => format!("st{n}"),
            Self::X87(field) => field.name().to_owned(),
            Self::Xmm(n) => format!("xmm{n}"),
            Self::Mxcsr => "mxcsr".to_owned(),
            Self::FsBase => "fs_base".to_owned(),
            Self::GsBase => "gs_base".to_owned(),
            Self::KernelGsBase => "k_gs_base".to_owned(),
            Self::Control(Control::Cr0) => "cr0".to_owned(),
            Self::Control(Control::Cr2) => "cr2".to_owned(),
            Self::Control(Control::Cr3) => "cr3".to_owned(),
            Self::Control(Control::Cr4) => "cr4".to_owned(),
            Self::Control(Control::Cr8) => "cr8".to_owned(),
            Self::Efer => "efer".to_owned(),
        }
    }
}

/// The description, made once.
pub(super) fn xml() -> &'static str {
    static XML: LazyLock<String> = LazyLock::new(write);
    &XML
}

fn write() -> String {
    let mut xml = String::from(
        "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">\
         <target version=\"1.0\"><architecture>i386:x86-64</architecture>",
    );
    let mut open = None;
    for register in Register::all() {
        let feature = register.feature();
        if open != Some(feature) {
            if open.is_some() {
                xml.push_str("</feature>");
            }
            // Writing to a String cannot fail.
            let _ = write!(xml, r#"<feature name="{}">"#, feature.name());
            xml.push_str(feature.types());
            open = Some(feature);
        }
        let (name, bits) = (register.name(), 8 * register.bytes());
        let kind = register.gdb_type();
        let _ = write!(
            xml,
            r#"<reg name="{name}" bitsize="{bits}" type="{kind}"/>"#
        );
    }
    xml.push_str("</feature></target>");
    xml
}
