//! madsim's part of the simulator bench, which builds this with `--cfg madsim` and starts it.
//!
//! `p2p-bench-madsim <metric> <window in ms>` prints the one number as a JSON array.

#[cfg(madsim)]
mod trials;

#[cfg(madsim)]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let metric = arguments.next().unwrap_or_default();
    let window = arguments.next().and_then(|window| window.parse().ok()).unwrap_or(500);
    match trials::run(&metric, std::time::Duration::from_millis(window)) {
        Some(value) => println!("[{value}]"),
        None => {
            eprintln!("madsim does not measure {metric:?}");
            std::process::exit(1);
        }
    }
}

#[cfg(not(madsim))]
fn main() {
    eprintln!("build this with RUSTFLAGS=\"--cfg madsim\"");
    std::process::exit(1);
}
