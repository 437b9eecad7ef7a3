// Runs the AMX instructions of a process on a CPU without AMX: they raise SIGILL, and the handler does their work.
#pragma once

namespace npufa::test {

// Makes the table "amx" one that can be chosen, emulated where the CPU lacks nothing else for it; false where it lacks
// more. Every thread gets tile registers of its own. An instruction that would fault on the chip (tiles that are not
// configured, or do not fit together) ends the process with a message. Other illegal instructions go to the handler
// that was there.
bool OfferAmx();

}  // namespace npufa::test
