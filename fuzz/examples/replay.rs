//! Gives every file of the folders to a target's check, once: `replay sip_message seeds/sip_message corpus/sip_message`.
//! Built with coverage instrumentation by coverage.sh; a plain build tells whether all seeds still pass.

fn main() {
    let mut args = std::env::args().skip(1);
    let target = args.next().expect("a target's name");
    let check = hotline_fuzz::by_name(&target).expect("one of the targets");
    let mut count = 0;
    for folder in args {
        let Ok(files) = std::fs::read_dir(&folder) else { continue };
        for file in files.flatten() {
            check(&std::fs::read(file.path()).expect("a readable file"));
            count += 1;
        }
    }
    println!("{target}: {count} inputs");
}
