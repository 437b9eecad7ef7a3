// The version of an operator package: the framework calls no package of another version, and `python -m npufa doctor`
// finds this text in the file.
extern "C" {

__attribute__((visibility("default"))) extern const char npufa_operator_package[];
const char npufa_operator_package[] = "npufa operator package " NPUFA_PACKAGE_VERSION;

}  // extern "C"
