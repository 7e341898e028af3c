namespace Lowbit.Tokenizers.Files;

/// <summary>The types of tokens, as SentencePiece and GGUF number them.</summary>
internal enum TokenKind
{
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}
