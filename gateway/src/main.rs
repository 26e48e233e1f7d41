//! The `sealgate` binary.

#[global_allocator]
static ALLOCATOR: gateway::memory::WipingAllocator = gateway::memory::WipingAllocator;

fn main() -> std::process::ExitCode {
    gateway::memory::bound_arenas();
    gateway::cli::main()
}
