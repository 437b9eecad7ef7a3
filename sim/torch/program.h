// Programs with a main() of their own that launch kernels with <<<>>>.
#pragma once

extern "C" {

// Loads the program: the library that holds main() and, where it has kernels for the other kind of core, a second one.
// `arguments` are those of main(). Returns what main() returned; -1 with a text in aclGetRecentErrMsg() when the
// program cannot be loaded.
int npufa_sim_run_program(const char* vector_path, const char* cube_path, int count, char** arguments);
// Problems found in kernels since the start, notes not counted.
int npufa_sim_program_problems();
// --cce-auto-sync of programs; on unless switched off.
void npufa_sim_set_auto_sync(int enabled);

}  // extern "C"
