using System.Linq;
using Lowbit.Kernels.Codebooks;

namespace Lowbit.Models;

/// <summary>The declaration of a matrix of codebooks.</summary>
internal static class CodebookDeclaration
{
    private static readonly (string Name, LevelForm Form)[] s_forms =
    [
        ("table", LevelForm.Table), ("scale", LevelForm.Scale), ("mean-scale", LevelForm.MeanScale), ("ternary", LevelForm.Ternary),
        ("mean-ternary", LevelForm.MeanTernary), ("two-scales", LevelForm.TwoScales), ("mean-two-scales", LevelForm.MeanTwoScales),
    ];

    /// <summary>A form as files name it.</summary>
    public static string NameOf(LevelForm form) => s_forms.First(entry => entry.Form == form).Name;

    /// <summary>The matrix.</summary>
    public static CodebookMatrix Load(Declaration entry) => new(
        entry.Name,
        new CodebookLayout(entry.Rows, entry.Columns, entry.Number("bits"), entry.Number("group_size"), entry.Named("levels", s_forms), entry.Number("classes"), entry.ScaleFormat()),
        entry.Parts(CodebookPacking.Suffixes));
}
