use super::*;

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let name = format!("vmm-folder-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        entries.map(|entry| name(entry.unwrap())).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn no_links(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[test]
fn a_specification_that_is_there_stays_even_where_a_file_system_has_no_links() {
    for (name, link) in [
        ("links", link as fn(&Path, &Path) -> io::Result<()>),
        ("none", no_links),
    ] {
        let place = Place::new(name);
        let file = place.0.join(SPEC_FILE);
        publish(&file, "first", Shard::WHOLE, link).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "first");
        // Another one that saw none yet: it comes between its look and its link.
        fs::remove_file(&file).unwrap();
        let late = |hidden: &Path, file: &Path| {
            fs::write(file, "second").unwrap();
            link(hidden, file)
        };
        publish(&file, "first", Shard::WHOLE, late).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "second", "{name}");
        assert_eq!(place.names(), [SPEC_FILE], "{name}");
    }
}

#[test]
fn folders_above_are_made_too() {
    let place = Place::new("above");
    make(&place.0.join("a/b/c")).unwrap();
    assert!(place.0.join("a/b/c").is_dir());
    make(&place.0.join("a/b/c")).unwrap();
}

#[test]
fn a_difference_is_shown_without_what_a_terminal_obeys() {
    assert_eq!(
        difference("a\u{1b}[2J", "a"),
        "`a\\u{1b}[2J`, not `a`".to_owned()
    );
}
