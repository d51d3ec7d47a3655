//! The manual pages: one for each command, whole, and without fault for both readers of such pages.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use fixtures::command::output;
use tempfile::TempDir;
use tests::binary;

/// What a page looks like on a terminal, without its marks for bold and underlined.
fn rendered(page: &Path) -> Result<String> {
    let lint = Command::new("mandoc").args(["-Tlint", "-Wwarning"]).arg(page).output()?;
    ensure!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
    let mut command = Command::new("man");
    command.args(["--warnings", "--local-file"]).arg(page).envs([("MANWIDTH", "1000"), ("LC_ALL", "C.UTF-8")]);
    let shown = command.env_remove("MAN_KEEP_FORMATTING").output()?;
    ensure!(shown.status.success() && shown.stderr.is_empty(), "{}", String::from_utf8_lossy(&shown.stderr));
    Ok(String::from_utf8(shown.stdout)?)
}

#[test]
fn every_command_and_every_option_has_its_place_in_a_faultless_page() -> Result<()> {
    let folder = TempDir::new()?;
    let pages = folder.path().join("man/man1");
    output(Command::new(binary()).arg("man").arg(&pages))?;
    let help = output(Command::new(binary()).arg("--help"))?;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<_> =
        commands.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    assert!(commands.len() >= 7, "{help}");
    let whole = rendered(&pages.join("gantry.1"))?;
    for name in &commands {
        assert!(whole.contains(&format!("gantry-{name}(1)")), "{whole}");
        let page = rendered(&pages.join(format!("gantry-{name}.1")))?;
        let help = output(Command::new(binary()).args([name, "--help"]))?;
        let options = help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2);
        for option in options.map(|word| word.trim_end_matches([',', '.', ';', ')'])) {
            assert!(page.contains(option), "the page of {name} lacks {option}");
        }
        assert!(page.contains("EXIT STATUS") && page.contains("130 or 143"), "{page}");
    }
    assert_eq!(std::fs::read_dir(&pages)?.count(), commands.len() + 1);
    Ok(())
}
