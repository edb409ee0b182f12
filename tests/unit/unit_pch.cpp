// Owner of the precompiled header that unit tests share; the program itself does nothing.
int main() { return 0; }
