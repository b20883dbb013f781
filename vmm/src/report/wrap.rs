//! Prose in lines that fit a terminal.

/// Columns of the report.
pub const WIDTH: usize = 100;

/// `text` in lines of at most [`WIDTH`] characters, each with a newline at its end. The first
/// starts with `indent` spaces, the others with two more. A word that is longer than a line has
/// one to itself.
pub fn wrap(text: &str, indent: usize) -> String {
    let mut wrapped = " ".repeat(indent);
    let mut column = indent;
    let mut first_word = true;
    for word in text.split(' ') {
        let length = word.chars().count();
        if !first_word && column + 1 + length > WIDTH {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(indent + 2));
            column = indent + 2;
        } else if !first_word {
            wrapped.push(' ');
            column += 1;
        }
        wrapped.push_str(word);
        column += length;
        first_word = false;
    }
    wrapped.push('\n');
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_full_but_not_too_long() {
        let text = ["four"; 100].join(" ");
        let wrapped = wrap(&text, 2);
        let lines: Vec<_> = wrapped.lines().collect();
        // 2 + 19 * 5 + 4 = 101 would be too long.
        assert_eq!(lines[0].len(), 2 + 18 * 5 + 4);
        assert_eq!(lines[1].len(), 4 + 18 * 5 + 4);
        let words: Vec<_> = wrapped.split_whitespace().collect();
        assert_eq!(words.join(" "), text);
    }

    #[test]
    fn a_long_word_stays_whole() {
        let word = "x".repeat(200);
        assert_eq!(
            wrap(&format!("a {word} b"), 0),
            format!("a\n  {word}\n  b\n")
        );
    }
}
