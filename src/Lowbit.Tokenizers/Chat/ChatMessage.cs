using System.Collections.Generic;

namespace Lowbit.Tokenizers.Chat;

/// <summary>One message of a chat.</summary>
/// <param name="Role">Who speaks: <c>system</c>, <c>user</c>, <c>assistant</c>, <c>tool</c>.</param>
/// <param name="Content">What is said.</param>
public sealed record ChatMessage(string Role, string Content)
{
    /// <summary>
    /// Further members that a template may ask for, such as <c>tool_calls</c> or <c>reasoning_content</c>; values as of
    /// <see cref="ChatTemplate.Render"/>.
    /// </summary>
    public IReadOnlyDictionary<string, object?>? Members { get; init; }
}
