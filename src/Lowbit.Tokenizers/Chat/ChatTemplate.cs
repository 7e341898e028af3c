namespace Lowbit.Tokenizers.Chat;
/// <summary>x</summary>
public sealed class ChatTemplate {/// <summary>x</summary>
 public ChatTemplate(string t, string? b, string? e) { } }
